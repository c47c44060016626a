"""The page on which a buyer passes or fails 3-D Secure."""

from html import escape
from typing import Final, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from psp_sim.provider import Reply, Request, json_reply
from psp_sim.stripe.errors import ApiError, unrecognized_url
from psp_sim.stripe.objects.rendering import AUTHENTICATION_PATH, Document
from psp_sim.stripe.objects.rows import PaymentIntent

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


class Bank(Protocol):
    """Who knows of a payment intent, and takes the buyer's word."""

    def intent(self, intent_id: str) -> PaymentIntent:
        """Return a payment intent; raises ApiError 404 if there is none."""
        ...

    async def authenticate(self, intent_id: str, *, passed: bool) -> Document:
        """Return the payment intent after its buyer passed or failed; raises ApiError if it cannot be."""
        ...


async def answer(bank: Bank, request: Request) -> Reply:
    """Return the answer to a buyer, or to a program in a buyer's place."""
    intent_id, _, action = request.path.removeprefix(AUTHENTICATION_PATH).partition("/")
    address = f"{AUTHENTICATION_PATH}{intent_id}"
    try:
        intent = bank.intent(intent_id)
        if request.method == "GET" and not action:
            page = _page(intent, address).encode()
            return Reply(200, page, {"Content-Type": "text/html; charset=utf-8"})
        if request.method != "POST" or action not in ("complete", "fail"):
            raise unrecognized_url(request.method, request.path)
        document = await bank.authenticate(intent_id, passed=action == "complete")
    except ApiError as error:
        return json_reply(error.body(), error.status)
    if "text/html" not in request.headers.get("Accept", ""):
        return json_reply(document)
    if intent.return_url:
        address = _return_address(intent.return_url, document)
    return Reply(303, b"", {"Location": address})


def _page(intent: PaymentIntent, path: str) -> str:
    """Return the HTML page of a payment intent; its buttons are there while it waits for them."""
    waiting = intent.status == "requires_action"
    return _PAGE.format(
        amount=intent.amount,
        currency=escape(intent.currency.upper()),
        intent_id=escape(intent.id),
        status=escape(intent.status.replace("_", " ")),
        form=_FORM.format(path=escape(path)) if waiting else "",
    )


def _return_address(return_url: str, document: Document) -> str:
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
