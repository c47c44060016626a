"""What PSPs say, whichever way: webhooks are stored, and all facts applied, in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.messaging.events import NewEvent
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.ports import Scope, Webhook
from payment_svc.domain.payment import Payment, PspFact

News = PspFact | Webhook
"""An answer or the result of a look-up, or an event that the PSP has sent by itself."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one piece of news.

    Attributes:
        payment: as it is now; None if nothing of ours is meant.
        duplicate: whether it is a webhook that was seen before.
    """

    payment: Payment | None = None
    duplicate: bool = False


async def take_news(scope: Scope, news: Sequence[News]) -> tuple[list[Taken], list[NewEvent]]:
    """Store the webhooks, apply all facts in order, and return what came of each, and the events.

    A webhook is never refused for what it says: one about something that is not ours, or that contradicts
    what we know, is stored with that outcome. The PSP would only send it again, for days.
    """
    webhooks = [each for each in news if isinstance(each, Webhook)]
    fresh = set(await scope.payments.store_webhooks(webhooks))
    taken: list[Taken] = [Taken() for _ in news]
    facts: dict[int, PspFact] = {}
    outcomes: list[tuple[Webhook, str]] = []
    for position, each in enumerate(news):
        if isinstance(each, PspFact):
            facts[position] = each
        elif (each.psp, each.event_id) not in fresh:
            taken[position] = Taken(duplicate=True)
        else:
            fresh.remove((each.psp, each.event_id))
            if each.fact is None:
                outcomes.append((each, "not_ours"))
            else:
                facts[position] = each.fact
    applied = await apply_psp_facts(scope, list(facts.values()))
    for index, (position, fact) in enumerate(facts.items()):
        each = news[position]
        taken[position] = Taken(applied.payments.get(fact.payment_id))
        if isinstance(each, Webhook) and index in applied.problems:
            outcomes.append((each, applied.problems[index]))
    await scope.payments.note_outcomes(outcomes)
    return taken, applied.events
