"""A fresh ledger for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.integration.ledger_svc.books import Ledger
from tests.support.databases import ServiceDatabase


@pytest.fixture
async def ledger(service_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Ledger]:
    """Empty books."""
    ledger = Ledger(service_database("ledger_svc"))
    await ledger.database.open()
    yield ledger
    await ledger.database.close()
