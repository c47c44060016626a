"""Takes webhooks: stored once, applied in the same step, never refused for what they say."""

from __future__ import annotations

from collections.abc import Sequence

from kit.messaging.events import NewEvent
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.ports import Scope, Webhook


async def receive_webhooks(scope: Scope, webhooks: Sequence[Webhook]) -> tuple[list[bool], list[NewEvent]]:
    """Store webhooks and apply their facts; return for each whether it was seen before, and the events.

    A webhook about something that is not ours, or that contradicts what we know, is stored with that
    outcome: the PSP would only send it again, for days.
    """
    fresh = await scope.payments.store_webhooks(webhooks)
    first_seen: dict[str, Webhook] = {}
    duplicates: list[bool] = []
    for webhook in webhooks:
        duplicates.append(webhook.event_id not in fresh or webhook.event_id in first_seen)
        first_seen.setdefault(webhook.event_id, webhook)
    news = [w for w in first_seen.values() if w.event_id in fresh and w.fact is not None]
    applied = await apply_psp_facts(scope, [w.fact for w in news if w.fact is not None])
    await scope.payments.note_outcomes(
        [(news[position].event_id, problem) for position, problem in applied.problems.items()]
        + [(w.event_id, "not_ours") for w in first_seen.values() if w.event_id in fresh and w.fact is None]
    )
    return duplicates, applied.events
