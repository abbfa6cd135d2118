"""Stripe's form encoding (`metadata[order]=1&items[0][price]=x`) read into nested values, and typed access to them."""

from typing import Any
from urllib.parse import parse_qsl

from sandbox.payments.errors import ApiError

MAX_FIELDS = 1000
EVERYWHERE = frozenset({"expand"})


def decode(text: str) -> dict[str, Any]:
    """Nested dictionaries and lists of strings. A dictionary whose keys are 0, 1, 2 … is a list; so is `name[]`."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ApiError("The parameters cannot be read") from None
    root: dict[str, Any] = {}
    for name, value in pairs:
        first, *rest = name.replace("]", "").split("[")
        place, last = root, first
        for step in rest:
            below = place.setdefault(last, {})
            if not isinstance(below, dict):
                raise ApiError(f"{name} stands beside a plain value", param=first)
            place, last = below, step or str(len(below))
        place[last] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(part) for name, part in value.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


class Params:
    """A request's parameters. An empty string means "unset", as at Stripe; a name that is not known is refused."""

    def __init__(self, values: dict[str, Any], *, path: str = "") -> None:
        self._values = values
        self._path = path

    def only(self, *names: str) -> "Params":
        for name in self._values:
            if name not in names and name not in EVERYWHERE:
                raise ApiError(
                    f"Received unknown parameter: {self._name(name)}", code="parameter_unknown", param=self._name(name)
                )
        return self

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str | None = None) -> str | None:
        value = self._values.get(name, default)
        if value is not None and not isinstance(value, str):
            raise ApiError(f"Invalid string: {self._name(name)}", param=self._name(name))
        return value or None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise ApiError(
                f"Missing required param: {self._name(name)}.", code="parameter_missing", param=self._name(name)
            )
        return value

    def choice(self, name: str, *allowed: str, default: str | None = None) -> str | None:
        value = self.text(name, default)
        if value is not None and value not in allowed:
            raise ApiError(f"Invalid {self._name(name)}: must be one of {', '.join(allowed)}", param=self._name(name))
        return value

    def whole(self, name: str, default: int | None = None) -> int | None:
        text = self.text(name)
        if text is None:
            return default
        if not text.removeprefix("-").isdecimal() or len(text) > 15:
            raise ApiError(
                f"Invalid integer: {self._name(name)}", code="parameter_invalid_integer", param=self._name(name)
            )
        return int(text)

    def flag(self, name: str) -> bool:
        return self.choice(name, "true", "false", default="false") == "true"

    def inside(self, name: str) -> "Params":
        value = self._values.get(name) or {}
        if not isinstance(value, dict):
            raise ApiError(f"Invalid object: {self._name(name)}", param=self._name(name))
        return Params(value, path=self._name(name))

    def each(self, name: str) -> list["Params"]:
        value = self._values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ApiError(f"Invalid array: {self._name(name)}", param=self._name(name))
        return [Params(item, path=f"{self._name(name)}[{index}]") for index, item in enumerate(value)]

    def texts(self, name: str) -> list[str]:
        value = self._values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ApiError(f"Invalid array: {self._name(name)}", param=self._name(name))
        return value

    def metadata(self, known: dict[str, str] | None = None) -> dict[str, str]:
        """The object's metadata after this request: given keys replace, an empty value removes."""
        if self._values.get("metadata") == "":
            return {}
        merged = dict(known or {}) | {str(key): value for key, value in self.inside("metadata").items()}
        if len(merged) > 50 or any(len(key) > 40 or len(str(value)) > 500 for key, value in merged.items()):
            raise ApiError("Metadata is too large", param="metadata")
        return {key: value for key, value in merged.items() if value != ""}

    def items(self) -> list[tuple[str, Any]]:
        return list(self._values.items())

    def _name(self, name: str) -> str:
        return f"{self._path}[{name}]" if self._path else name
