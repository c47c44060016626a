"""The edge: Envoy, with a configuration rendered for this system's ports and keys."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Final

from florin_cli.runner import health, wheels
from florin_cli.runner.secrets import Secrets
from florin_cli.runner.services import replica_names
from florin_cli.runner.settings import SERVICE_NAMES, Settings
from florin_cli.runner.spec import ProcessSpec

NAME: Final = "envoy"

# The package of the checkout that writes the configuration.
_CONFIG_PACKAGE: Final = "envoy.config"


def available() -> bool:
    """Whether the package that writes Envoy's configuration is there."""
    return importlib.util.find_spec(_CONFIG_PACKAGE) is not None


def render(settings: Settings, secrets: Secrets) -> Path:
    """Writes Envoy's configuration for this system and returns where it is."""
    config = importlib.import_module(_CONFIG_PACKAGE)
    written: Path = config.write(config.EdgeSettings.of(settings, secrets))
    return written


def spec(settings: Settings, secrets: Secrets, *, log_path: Path, cwd: Path) -> ProcessSpec:
    """Envoy as the supervisor runs it."""
    config = settings.run_dir / "envoy.yaml"

    async def configure() -> None:
        # A name that does not depend on where the generator writes: it is in the command.
        config.unlink(missing_ok=True)
        config.symlink_to(render(settings, secrets).absolute())

    return ProcessSpec(
        name=NAME,
        command=(
            str(wheels.envoy(settings)),
            *("--config-path", str(config)),
            # Two systems on one machine would otherwise share a memory region for hand-over.
            "--disable-hot-restart",
            *("--log-level", "warning"),
        ),
        check=health.http("127.0.0.1", settings.envoy_admin_port, "/ready"),
        port=settings.edge_port,
        needs=tuple(name for each in SERVICE_NAMES for name in replica_names(settings, each)),
        log_path=log_path,
        cwd=cwd,
        prepare=configure,
    )
