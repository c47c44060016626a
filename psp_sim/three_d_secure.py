"""The page on which a buyer passes or fails 3-D Secure."""

from html import escape
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from psp_sim.records import PaymentIntent

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>3-D Secure test page</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; }}
button {{ font: inherit; padding: .5rem 1rem; margin-right: .5rem; }}
</style>
</head>
<body>
<h1>3-D Secure</h1>
<p>Payment of {amount} {currency} (minor units), <code>{intent_id}</code>: {status}.</p>
{form}
</body>
</html>
"""

_FORM: Final = """<form method="post">
<button formaction="{path}/complete">Complete</button>
<button formaction="{path}/fail">Fail</button>
</form>"""


def page(intent: PaymentIntent, path: str) -> str:
    """Return the HTML page of a payment intent; its buttons are there while it waits for them."""
    waiting = intent.status == "requires_action"
    return _PAGE.format(
        amount=intent.amount,
        currency=escape(intent.currency.upper()),
        intent_id=escape(intent.id),
        status=escape(intent.status.replace("_", " ")),
        form=_FORM.format(path=escape(path)) if waiting else "",
    )


def return_address(return_url: str, document: dict[str, Any]) -> str:
    """Return where the buyer's browser goes next, with what Stripe tells the shop there."""
    scheme, host, path, query, fragment = urlsplit(return_url)
    outcome = urlencode(
        {
            "payment_intent": document["id"],
            "payment_intent_client_secret": document["client_secret"],
            "redirect_status": "failed" if document["last_payment_error"] else "succeeded",
        }
    )
    return urlunsplit((scheme, host, path, f"{query}&{outcome}" if query else outcome, fragment))
