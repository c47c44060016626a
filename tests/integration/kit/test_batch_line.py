"""The line of a batch: short whatever the batch, and still a way in."""

from __future__ import annotations

from typing import Any

import pytest
from florin.order.v1.order_events_pb2 import OrderCompleted
from structlog.testing import capture_logs

from kit.observe import logs
from tests.integration.kit.sample import SUBSCRIPTIONS, itself
from tests.support.service import RecordingRuntime, delivered, envelope_of, pump_of


async def _line(runtime: RecordingRuntime, events: int) -> Any:
    pump = pump_of(runtime, SUBSCRIPTIONS, itself)
    batch = [delivered(envelope_of(OrderCompleted(order_id=f"ord_{number}"))) for number in range(events)]
    with capture_logs() as lines:
        await pump.handle(batch)
    [line] = [line for line in lines if line["event"] == "batch.handled"]
    return line


async def test_a_small_batch_is_told_whole(
    runtime: RecordingRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_followed_parts", 0)
    line = await _line(runtime, 3)
    assert line["aggregates"] == ["order/ord_0", "order/ord_1", "order/ord_2"]
    assert len(line["correlation_ids"]) == 3


@pytest.mark.parametrize(("parts", "named"), [(0, 0), (2**32, 3)])
async def test_a_large_batch_names_a_few_that_are_followed(
    runtime: RecordingRuntime, monkeypatch: pytest.MonkeyPatch, parts: int, named: int
) -> None:
    monkeypatch.setattr(logs, "_followed_parts", parts)
    line = await _line(runtime, 40)
    assert (line["events"], line["done"]) == (40, 40)
    assert len(line["aggregates"]) == len(line["correlation_ids"]) == named
