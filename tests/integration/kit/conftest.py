"""The sample service, without a broker."""

from __future__ import annotations

import pytest
from florin.inventory.v1.inventory_events_pb2 import StockReserved
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from tests.conftest import RecordingRuntimeFactory
from tests.integration.kit.sample import CONSUMERS, SAMPLE
from tests.support.service import RecordingRuntime


@pytest.fixture
async def runtime(service_runtime: RecordingRuntimeFactory) -> RecordingRuntime:
    """The sample service on a fresh database, with a bus that only records."""
    emits = [OrderCompleted, OrderFailed, StockReserved]
    return await service_runtime(SAMPLE, emits=emits, consumers=CONSUMERS)
