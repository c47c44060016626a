"""The whole system as one table: what runs, with what, after what."""

from __future__ import annotations

from collections.abc import Collection

from runner import databases, envoy, nats, postgres, redis, services
from runner.secrets import Secrets
from runner.settings import Settings, checkout_root
from runner.spec import Node, ProcessSpec
from terminal.errors import EXIT_USAGE, CommandError


def nodes(settings: Settings, secrets: Secrets, *, only: Collection[str] = ()) -> list[Node]:
    """Every process and setup of the system, or those of `only` with what they need.

    Raises:
        CommandError: `only` names something that is not part of the system.
    """
    cwd, logs = checkout_root(), settings.logs_dir
    table: list[Node] = [
        postgres.spec(settings, secrets, log_path=logs / "postgres.log", cwd=cwd),
        services.databases_setup(settings, secrets),
        nats.spec(settings, log_path=logs / "nats.log", cwd=cwd),
        redis.spec(settings, log_path=logs / "redis.log", cwd=cwd),
        services.psp_sim_spec(settings, secrets, cwd=cwd),
        *services.service_nodes(settings, secrets, cwd=cwd),
        envoy.spec(settings, log_path=logs / "envoy.log", cwd=cwd),
    ]
    return _with_needs(table, only) if only else table


def _with_needs(table: list[Node], only: Collection[str]) -> list[Node]:
    by_name = {node.name: node for node in table}
    if unknown := set(only) - set(by_name):
        known = [node.name for node in table if isinstance(node, ProcessSpec)]
        raise CommandError(
            f"There is no process called {', '.join(sorted(unknown))}.",
            way_out=f"Choose from {', '.join(known)}.",
            exit_code=EXIT_USAGE,
        )
    wanted: set[str] = set()
    open_names = list(only)
    while open_names:
        name = open_names.pop()
        if name not in wanted:
            wanted.add(name)
            open_names.extend(by_name[name].needs)
    if postgres.NAME in wanted:
        # Postgres without its roles and databases is of no use to anyone.
        wanted.add(databases.SETUP)
    return [node for node in table if node.name in wanted]
