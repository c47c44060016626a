"""NATS with JetStream: a cache of the outboxes, so its data may be deleted at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from runner import health, wheels
from runner.settings import Settings
from runner.spec import ProcessSpec

NAME: Final = "nats"

# max_payload: an event is a few kilobytes; a megabyte is a mistake that should be refused.
# The store limits leave a full hour of the highest load we can produce, and room on the disk.
_CONFIGURATION: Final = """\
# Written by florin at every start.
server_name: florin
listen: "{host}:{port}"
max_payload: 1MB
jetstream {{
  store_dir: "{store_dir}"
  max_memory_store: 256MB
  max_file_store: 8GB
}}
"""


def url(settings: Settings) -> str:
    """The address services connect to: of one server, or of several separated by commas."""
    return settings.nats_url or f"nats://{settings.local_host}:{settings.nats_port}"


def spec(settings: Settings, *, log_path: Path, cwd: Path) -> ProcessSpec:
    """NATS as the supervisor runs it, or watches it when it is the user's own."""
    port = urlsplit(url(settings).partition(",")[0]).port or 4222
    check = health.NatsCheck(url(settings), settings.nats_access)
    if settings.nats_url is not None:
        return ProcessSpec(name=NAME, command=(), check=check, port=port, log_path=log_path, cwd=cwd)
    data_dir = settings.data_dir / "nats"
    config = settings.run_dir / "nats.conf"

    async def configure() -> None:
        config.write_text(
            _CONFIGURATION.format(host=settings.bind_host, port=settings.nats_port, store_dir=data_dir)
        )

    return ProcessSpec(
        name=NAME,
        command=(str(wheels.nats_server(settings)), "--config", str(config)),
        check=check,
        port=port,
        log_path=log_path,
        cwd=cwd,
        data_dir=data_dir,
        prepare=configure,
    )
