"""`python -m payment_svc serve | migrate | check`."""

from kit.runtime import service
from kit.store import migrations
from payment_svc.bootstrap import NAME, build
from payment_svc.settings import Settings

if __name__ == "__main__":
    service.main(
        NAME,
        settings=Settings,
        build=build,
        migrate=lambda url: migrations.upgrade("payment_svc", url),
    )
