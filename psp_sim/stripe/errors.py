"""Refusals in Stripe's shape."""

from dataclasses import dataclass, field
from typing import Any


# Not frozen: Python itself writes the traceback into a raised exception.
@dataclass(eq=False, slots=True)
class ApiError(Exception):
    """A refusal that the caller sees as `{"error": {...}}`.

    `executed` tells whether the request had begun to act when it was refused: only then is the
    refusal remembered under its idempotency key, as at Stripe.
    """

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    executed: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the JSON document of this refusal."""
        error: dict[str, Any] = {"message": self.message, "type": self.type}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = doc_url(self.code)
        if self.param is not None:
            error["param"] = self.param
        return {"error": {**error, **self.details}}


def doc_url(code: str) -> str:
    """Return where Stripe explains an error code."""
    return f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"


def invalid_request(
    message: str, *, code: str | None = None, param: str | None = None, executed: bool = False
) -> ApiError:
    """Return the 400 for a request that can never succeed as it is."""
    return ApiError(400, "invalid_request_error", message, code, param, executed)


def missing_param(param: str) -> ApiError:
    """Return the 400 for a required parameter that is not there."""
    return invalid_request(f"Missing required param: {param}.", code="parameter_missing", param=param)


def no_such(noun: str, object_id: str, *, param: str, status: int = 400) -> ApiError:
    """Return the refusal for an id that names nothing: 404 in a path, 400 in a parameter."""
    message = f"No such {noun}: '{object_id}'"
    return ApiError(status, "invalid_request_error", message, "resource_missing", param)


def unauthenticated(message: str) -> ApiError:
    """Return the 401 for an absent or wrong API key."""
    return ApiError(401, "invalid_request_error", message)


def unrecognized_url(method: str, path: str) -> ApiError:
    """Return the 404 for a path that is no endpoint."""
    message = f"Unrecognized request URL ({method}: {path})."
    return ApiError(404, "invalid_request_error", message)


def internal_error() -> ApiError:
    """Return the 500 for a failure at the provider."""
    return ApiError(
        500,
        "api_error",
        "An unknown error occurred at the payment provider; retry with the same idempotency key.",
        executed=True,
    )


def outage() -> ApiError:
    """Return the 503 of a provider that is down."""
    return ApiError(503, "api_error", "The payment provider is unavailable; try again later.")


def rate_limited() -> ApiError:
    """Return the 429 of a provider that is asked too often."""
    message = "Request rate limit exceeded; slow down and retry with exponential backoff."
    return ApiError(429, "invalid_request_error", message, "rate_limit")


def key_reused(key: str) -> ApiError:
    """Return the 400 for an idempotency key that came back with other parameters."""
    return ApiError(
        400,
        "idempotency_error",
        "Keys for idempotent requests can only be used with the same parameters they were first "
        f"used with. Try using a key other than '{key}' if you meant to execute a different "
        "request.",
    )


def key_in_use(key: str) -> ApiError:
    """Return the 409 for an idempotency key whose first request still runs."""
    return ApiError(
        409,
        "idempotency_error",
        "There is currently another in-progress request using this Idempotent Key (that probably "
        f"means you submitted twice, and the other request is still going through): {key}. "
        "Please try again later.",
        "idempotency_key_in_use",
    )
