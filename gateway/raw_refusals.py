"""What is answered to what never became a request: in OpenAI's shape, and the end of its connection."""

from http import HTTPStatus

from gateway.endpoints import new_request_id
from gateway.errors import (
    GatewayError,
    HeadTooLarge,
    HeadTooSlow,
    InvalidRequest,
    MethodNotAllowed,
    Unavailable,
    error_body,
)
from gateway.request_log import log_refused

MALFORMED = InvalidRequest("This is not a request in HTTP/1.1.")
TUNNEL = MethodNotAllowed("CONNECT is not allowed.")
TOO_LARGE = HeadTooLarge("The head of the request is too large: shorten its URL, or send fewer or shorter headers.")
TOO_SLOW = HeadTooSlow("The head of the request did not arrive in time.")
BUSY = Unavailable("The gateway has more calls than it can take. Please try again in a moment.")


def raw_refusal(error: GatewayError) -> bytes:
    """A whole response, which is logged."""
    request_id, body = new_request_id(), error_body(error)
    log_refused(error, request_id=request_id, endpoint="")
    status = HTTPStatus(error.http_status)
    fields = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-request-id": request_id,
        "cache-control": "no-store",
        "connection": "close",
        **error.headers,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
