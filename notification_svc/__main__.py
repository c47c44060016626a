"""`python -m notification_svc serve | migrate | check`."""

from __future__ import annotations

from kit.runtime import service
from kit.store import migrations
from notification_svc.bootstrap import NAME, build
from notification_svc.settings import Settings


def main() -> None:
    """Run the command the process was started with."""
    service.main(
        NAME,
        settings=Settings,
        build=build,
        migrate=lambda url: migrations.upgrade("notification_svc", url),
    )


if __name__ == "__main__":
    main()
