"""Refuse requests that two servers could read differently, before anything of them is believed (request smuggling).

The server under us (granian, hyper) refuses most of what is malformed: differing or broken lengths, unknown or repeated transfer
codings, folded headers, control characters. `Transfer-Encoding` beside `Content-Length` it takes by dropping the latter, so that
the pair looks like a plain chunked body; therefore bodies must come with their length, as all clients of OpenAI's API send them.

A bare LF at the end of a header line it takes too, as RFC 9112 §2.2 allows, and nobody can see that from here. A header that slips
past a proxy in this way does no harm: a second length is refused, and so are a length of a GET and any coding.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.client import Client
from gateway.endpoints import new_request_id
from gateway.errors import GatewayError, InvalidRequest
from gateway.request_log import log_refused


class LengthRequired(GatewayError):
    """A body without a length, or with a coding beside it."""

    status, type, code = 411, "invalid_request_error", "length_required"


class RefuseAmbiguous:
    """ASGI middleware. What it refuses ends its connection: nobody knows where the next request would begin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            defect = defect_of(scope)
            if defect is not None:
                defect.headers["connection"] = "close"
                request_id = new_request_id()
                await Client(send, request_id=request_id).fail(defect)
                log_refused(defect, request_id=request_id, endpoint=scope["path"][:100])
                return
        await self._app(scope, receive, send)


def defect_of(scope: Scope) -> GatewayError | None:
    """What is wrong with the frame of a request, if anything. Header names are in lower case, as ASGI has them."""
    hosts, length = [], b"0"
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return LengthRequired("Send the request body with a Content-Length; chunked bodies are not accepted.")
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            length = value
    if len(hosts) != 1 or (not hosts[0] and scope["http_version"] != "1.0"):
        return InvalidRequest("Send exactly one Host header.")
    if scope["method"] in ("GET", "HEAD") and length != b"0":
        return InvalidRequest("A GET request has no body.")
    return None
