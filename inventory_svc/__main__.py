"""`python -m inventory_svc serve | migrate | check`."""

from __future__ import annotations

from inventory_svc import bootstrap
from inventory_svc.settings import Settings
from kit.runtime import service
from kit.store import migrations

if __name__ == "__main__":
    service.main(
        bootstrap.NAME,
        settings=Settings,
        build=bootstrap.build,
        migrate=lambda url: migrations.upgrade("inventory_svc", url),
    )
