"""Values that fit a JSON schema, for structured answers and for the arguments of tool calls."""

from typing import Any

_FORMATS = {
    "date": "2026-10-30",
    "date-time": "2026-10-30T09:00:00+09:00",
    "time": "09:00:00",
    "email": "user@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}
_NAMED = {
    "city": ("서울", "Seoul"),
    "location": ("서울", "Seoul"),
    "name": ("홍길동", "Alex"),
    "unit": ("celsius", "celsius"),
}
_DEPTH = 12


def sample(schema: Any, *, korean: bool) -> Any:
    """The smallest plain value that fits `schema`: references, unions, bounds and formats; patterns are not read."""
    return _sample(schema, root=schema, korean=korean, name="", depth=0)


def _sample(schema: Any, *, root: Any, korean: bool, name: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None
    below = {"root": root, "korean": korean, "depth": depth + 1}
    if "$ref" in schema:
        return _sample(_resolve(schema["$ref"], root), name=name, **below)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _sample(schema[union][0], name=name, **below)
    if schema.get("allOf"):
        return _sample(_merge(schema, root), name=name, **below)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        return {key: _sample(part, name=key, **below) for key, part in _properties(schema, depth).items()}
    if kind == "array":
        return [_sample(schema.get("items", {}), name=name, **below) for _ in range(max(1, schema.get("minItems", 1)))]
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _text(schema, name=name, korean=korean)


def _properties(schema: dict[str, Any], depth: int) -> dict[str, Any]:
    """All properties; only the required ones deep down, so that a schema that contains itself comes to an end."""
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    return properties if depth < _DEPTH // 2 else {key: properties[key] for key in required if key in properties}


def _resolve(reference: str, root: Any) -> Any:
    found = root
    for step in str(reference).removeprefix("#").strip("/").split("/"):
        if not step:
            continue
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _merge(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        part = _resolve(part["$ref"], root) if isinstance(part, dict) and "$ref" in part else part
        for key, value in (part or {}).items():
            known = merged.get(key)
            if isinstance(known, dict) and isinstance(value, dict):
                merged[key] = {**known, **value}
            elif isinstance(known, list) and isinstance(value, list):
                merged[key] = known + value
            else:
                merged[key] = value
    return merged


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    value = low if low is not None else min(1, schema.get("maximum", 1))
    if low is not None and "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        value += 1 if whole else 0.5
    step = schema.get("multipleOf")
    if step:
        value = -(-value // step) * step
    return int(value) if whole else value


def _text(schema: dict[str, Any], *, name: str, korean: bool) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    korean_word, english_word = _NAMED.get(name.lower(), ("예시", "example"))
    text = korean_word if korean else english_word
    text += "." * max(0, int(schema.get("minLength", 0)) - len(text))
    return text[: int(schema.get("maxLength", len(text)))]
