"""Refuse requests that two servers could read differently, before anything of them is believed (request smuggling).

The server under us (`gateway/http_protocol.py`, llhttp as strict as it comes) refuses most of what is malformed: a length beside a
coding, differing or broken lengths, bare line ends, folded headers, control characters. A coding alone it understands, so that
`Transfer-Encoding: chunked` would be a body of unknown length; and a coding that does not end in `chunked` it refuses only once the
request was handed on. Therefore bodies must come with their length, as all clients of OpenAI's API send them.

Hosts it does not count, and a GET may have a body.
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
