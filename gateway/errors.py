"""Every way in which the gateway refuses or fails a call, in the shape that OpenAI's clients read.

Raise one of these anywhere between admission and forwarding; `error_body` makes the answer, `error_event` the same for a stream
that has begun. Messages say what to do next and hold nothing that the caller did not send or may not know.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec


class GatewayError(Exception):
    """A call that ends with an error. `message` is for the caller; `code` is what programs tell errors apart by."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code_text = code or self.code
        self.headers = dict(headers or {})
        self.details = dict(details or {})

    @property
    def http_status(self) -> int:
        return self.status


class InvalidRequest(GatewayError):
    """The request cannot be used as it is."""

    status, type, code = 400, "invalid_request_error", "invalid_request"


class Unauthenticated(GatewayError):
    """No key, or one that is unknown, mistyped, revoked or expired."""

    status, type, code = 401, "authentication_error", "invalid_api_key"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"www-authenticate": "Bearer"})


class QuotaExceeded(GatewayError):
    """The worst case of the call does not fit what the organization may still spend."""

    status, type, code = 402, "insufficient_quota", "insufficient_quota"


class NotPermitted(GatewayError):
    """The key is valid, but not for this."""

    status, type, code = 403, "permission_error", "permission_denied"


class ModelNotFound(GatewayError):
    """The model was never sold, or is not sold now."""

    status, type, code = 404, "invalid_request_error", "model_not_found"

    def __init__(self, slug: str, *, param: str | None = "model") -> None:
        super().__init__(
            f"The model '{slug[:200]}' does not exist or is not sold at present. GET /v1/models lists what is.",
            param=param,
        )


class UnknownRoute(GatewayError):
    """Whatever is not served is refused: a pass-through would be an unmetered way out."""

    status, type, code = 404, "invalid_request_error", "unknown_url"


class MethodNotAllowed(GatewayError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class IdempotencyConflict(GatewayError):
    """A call of this name was made before; `details` hold its receipt."""

    status, type, code = 409, "idempotency_error", "idempotency_key_reused"


class BodyTooLarge(GatewayError):
    status, type, code = 413, "invalid_request_error", "request_too_large"


class HeadTooSlow(GatewayError):
    """The head of a request did not end in time."""

    status, type, code = 408, "invalid_request_error", "request_timeout"


class HeadTooLarge(GatewayError):
    """Too many headers, too long ones, or a URL without end."""

    status, type, code = 431, "invalid_request_error", "headers_too_large"


class RateLimited(GatewayError):
    """The upstream asks for patience; the caller's client knows how to wait."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"


class UpstreamRefused(GatewayError):
    """The upstream found the caller's request wrong; its status and words are passed on."""

    type, code = "invalid_request_error", "upstream_refused"

    def __init__(self, message: str, *, status: int, code: str = "", param: str | None = None) -> None:
        super().__init__(message, code=code, param=param)
        self.upstream_status = status

    @property
    def http_status(self) -> int:
        return self.upstream_status


class UpstreamFailed(GatewayError):
    """The upstream is down, too slow, broken, or refuses us. None of that is the caller's doing or business."""

    status, type, code = 502, "upstream_error", "upstream_unavailable"


class Unavailable(GatewayError):
    """The gateway cannot do its own part now (its database is away, or it has just started)."""

    status, type, code = 503, "server_error", "temporarily_unavailable"

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message, headers={"retry-after": "2"} if retry else {"x-should-retry": "false"})


def error_object(error: GatewayError) -> dict[str, Any]:
    """The object under `error`."""
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code_text,
        **error.details,
    }


def error_body(error: GatewayError) -> bytes:
    """The body of a response."""
    return msgspec.json.encode({"error": error_object(error)})


def error_event(error: GatewayError) -> bytes:
    """An event that makes OpenAI's clients raise in the middle of a stream."""
    return b"data: " + error_body(error) + b"\n\n"
