"""`python -m order_svc serve | migrate | check`."""

from kit.runtime.process import main
from roster import ROSTER

if __name__ == "__main__":
    main(ROSTER, "order_svc")
