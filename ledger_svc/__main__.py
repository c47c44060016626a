"""`python -m ledger_svc serve | migrate | check`."""

from kit.runtime import service
from kit.store import migrations
from ledger_svc.bootstrap import NAME, build
from ledger_svc.settings import Settings

if __name__ == "__main__":
    service.main(
        NAME,
        settings=Settings,
        build=build,
        migrate=lambda url: migrations.upgrade("ledger_svc", url),
    )
