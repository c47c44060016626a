"""Redis: a cache of Postgres, so it keeps nothing on disk and may be emptied at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from runner import health, wheels
from runner.settings import Settings
from runner.spec import ProcessSpec

NAME: Final = "redis"

# Full means that the least used goes: every value in it can be had from Postgres again.
_CONFIGURATION: Final = """\
# Written by florin at every start.
bind {host}
port {port}
dir "{data_dir}"
appendonly no
save ""
maxmemory 256mb
maxmemory-policy allkeys-lru
"""


def url(settings: Settings) -> str:
    """The address services connect to."""
    return settings.redis_url or f"redis://{settings.local_host}:{settings.redis_port}/0"


def spec(settings: Settings, *, log_path: Path, cwd: Path) -> ProcessSpec:
    """Redis as the supervisor runs it, or watches it when it is the user's own."""
    parts = urlsplit(url(settings))
    port = parts.port or 6379
    check = health.redis(parts.hostname or "127.0.0.1", port)
    if settings.redis_url is not None:
        return ProcessSpec(name=NAME, command=(), check=check, port=port, log_path=log_path, cwd=cwd)
    data_dir = settings.data_dir / "redis"
    config = settings.run_dir / "redis.conf"

    async def configure() -> None:
        config.write_text(
            _CONFIGURATION.format(host=settings.bind_host, port=settings.redis_port, data_dir=data_dir)
        )

    return ProcessSpec(
        name=NAME,
        command=(str(wheels.redis_server(settings)), str(config)),
        check=check,
        port=port,
        log_path=log_path,
        cwd=cwd,
        data_dir=data_dir,
        prepare=configure,
    )
