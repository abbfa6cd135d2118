"""Stripe's errors: one class for a refused request, one for a card that does not pay."""

from typing import Any


class ApiError(Exception):
    """A refused request. `began` says that the endpoint had begun to execute, so that the answer is kept under its key."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str = "",
        param: str = "",
        began: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.began = began
        fields = {"type": kind, "message": message, "code": code, "param": param, **more}
        self.body: dict[str, Any] = {
            "error": {name: value for name, value in fields.items() if value not in ("", None)}
        }


class CardRefusedError(ApiError):
    """The card's issuer said no: 402. What the attempt left behind (a failed charge) stays."""

    def __init__(self, message: str, *, code: str, decline_code: str = "", **more: Any) -> None:
        super().__init__(
            message, status=402, kind="card_error", code=code, decline_code=decline_code, began=True, **more
        )


def missing(kind: str, object_id: str, *, param: str = "id") -> ApiError:
    """404 when the address names the object, 400 when a parameter does."""
    status = 404 if param == "id" else 400
    return ApiError(f"No such {kind}: '{object_id}'", status=status, code="resource_missing", param=param)
