"""`python -m inventory_svc serve | migrate | check`."""

from kit.runtime.process import main
from roster import ROSTER

if __name__ == "__main__":
    main(ROSTER, "inventory_svc")
