"""`python -m order_svc serve | migrate | check`."""

from kit.runtime import service
from kit.store import migrations
from order_svc.bootstrap import NAME, build
from order_svc.settings import Settings

if __name__ == "__main__":
    service.main(
        NAME,
        settings=Settings,
        build=build,
        migrate=lambda url: migrations.upgrade("order_svc", url),
    )
