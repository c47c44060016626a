"""Merchants describe what they sell."""

from __future__ import annotations

from collections.abc import Sequence

from inventory_svc.application.ports import Scope
from inventory_svc.application.rounds import rounds
from inventory_svc.domain.product import Product, PutProduct
from kit.values.errors import FlorinError


async def put_products(scope: Scope, commands: Sequence[PutProduct]) -> list[Product | FlorinError]:
    """Create products or replace their names and prices; stock is left as it is."""
    answers: dict[int, Product | FlorinError] = {}
    accepted: dict[int, PutProduct] = {}
    for index, command in enumerate(commands):
        try:
            command.check()
            accepted[index] = command
        except FlorinError as refusal:
            answers[index] = refusal
    for round_ in rounds(accepted, lambda command: command.key):
        products = await scope.catalogue.put(list(round_.values()))
        for index, command in round_.items():
            answers[index] = products[command.key]
    return [answers[index] for index in range(len(commands))]
