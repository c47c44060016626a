"""Units arrive at the warehouse, or leave it in another way than by a sale."""

from __future__ import annotations

from collections.abc import Sequence

from inventory_svc.application.ports import Scope
from inventory_svc.application.rounds import rounds
from inventory_svc.domain.product import AdjustStock, Product, too_few_units, unknown_product
from kit.values.errors import FlorinError


async def adjust_stock(scope: Scope, commands: Sequence[AdjustStock]) -> list[Product | FlorinError]:
    """Change the stock of products; units that are held for orders cannot be removed."""
    answers: dict[int, Product | FlorinError] = {}
    accepted: dict[int, AdjustStock] = {}
    for index, command in enumerate(commands):
        try:
            command.check()
            accepted[index] = command
        except FlorinError as refusal:
            answers[index] = refusal
    for round_ in rounds(accepted, lambda command: command.key):
        answers.update(await _adjust_once(scope, round_))
    return [answers[index] for index in range(len(commands))]


async def _adjust_once(scope: Scope, commands: dict[int, AdjustStock]) -> dict[int, Product | FlorinError]:
    """Run commands for different products."""
    adjusted = await scope.catalogue.adjust({scope.new_id("adj"): command for command in commands.values()})
    refused = [command.key for command in commands.values() if command.key not in adjusted]
    existing = await scope.catalogue.get(refused) if refused else {}
    answers: dict[int, Product | FlorinError] = {}
    for index, command in commands.items():
        if command.key in adjusted:
            answers[index] = adjusted[command.key]
        elif command.key in existing:
            answers[index] = too_few_units(existing[command.key], command)
        else:
            answers[index] = unknown_product(command.key)
    return answers
