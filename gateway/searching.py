"""What the upstream may fetch by itself: asked for, bounded to what was reserved, or refused where nobody knows its price.

A search costs a piece and lengthens the prompt. Tools and plugins that the upstream runs and charges otherwise (pictures, code,
documents) have no price here.
"""

from collections.abc import Mapping
from typing import Any

from catalog.price_snapshot import ModelEntry
from gateway.errors import InvalidRequest

SEARCHES_AT_MOST = 10
"""What one call may search when it asks for the upstream's own search, or calls a model that always searches."""
CALLERS_TOOLS = frozenset({"function", "custom", "local_shell", "apply_patch"})
"""Tools that the caller runs."""
SEARCH_TOOLS = frozenset({
    "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11", "openrouter:web_search",
})  # fmt: skip
SEARCH_PLUGIN = "web"
FREE_PLUGINS = frozenset({"response-healing"})
COUNTS = ("max_results", "max_total_results", "max_uses")
"""Under these names a plugin or a tool says how much it may fetch."""
ALWAYS_SEARCHING = ("perplexity/", ":online", "-search-preview", "deep-research")
"""Parts of the names of models that search without being asked; no list of models says it otherwise."""


def asks_for_search(body: Mapping[str, Any]) -> bool:
    """Whether the upstream may search for this body. Raises InvalidRequest for a plugin or tool that cannot be priced."""
    plugins = [_plugin(plugin) for plugin in objects(body.get("plugins") or [], "plugins")]
    tools = [_tool(tool) for tool in objects(body.get("tools") or [], "tools")]
    return any(plugins) or any(tools) or body.get("web_search_options") is not None


def bounded(body: dict[str, Any]) -> dict[str, Any]:
    """The body's fields that decide how much is fetched, capped at what was reserved."""
    capped: dict[str, Any] = {}
    if body.get("plugins"):
        capped["plugins"] = [_capped(plugin) for plugin in body["plugins"]]
    if body.get("tools"):
        capped["tools"] = [_capped(tool) if tool.get("type") in SEARCH_TOOLS else tool for tool in body["tools"]]
    options = body.get("web_search_options")
    if isinstance(options, dict):
        capped["web_search_options"] = _capped(options)
    return capped


def always_searches(model: ModelEntry) -> bool:
    """Whether the model searches for every call."""
    return any(part in model.slug for part in ALWAYS_SEARCHING)


def objects(value: Any, name: str) -> list[dict[str, Any]]:
    """`value`, if it is a list of objects. Raises InvalidRequest: what we cannot read cannot be bounded."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidRequest(f"'{name}' must be a list of objects, as OpenAI's API has it.", param=name)
    return value


def _plugin(plugin: Mapping[str, Any]) -> bool:
    name = plugin.get("id")
    if name == SEARCH_PLUGIN:
        return True
    if name in FREE_PLUGINS:
        return False
    raise InvalidRequest(f"The plugin '{str(name)[:60]}' is not offered; '{SEARCH_PLUGIN}' is.", param="plugins")


def _tool(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    if kind in SEARCH_TOOLS:
        return True
    if kind in CALLERS_TOOLS or (kind is None and "function" in tool):
        return False
    raise InvalidRequest(
        f"Tools of the type '{str(kind)[:60]}' are not offered. Functions, which your program runs, and 'web_search' are.",
        param="tools",
    )


def _capped(wish: dict[str, Any]) -> dict[str, Any]:
    """A plugin, a tool or search options that fetch no more than was reserved."""
    capped = _with_fewer(wish)
    if isinstance(wish.get("parameters"), dict):
        capped["parameters"] = _with_fewer(wish["parameters"])
    return capped


def _with_fewer(wish: dict[str, Any]) -> dict[str, Any]:
    """The counts capped; a larger context is another price."""
    fewer: dict[str, Any] = {name: fewest(value) if name in COUNTS else value for name, value in wish.items()}
    if fewer.get("search_context_size") == "high":
        fewer["search_context_size"] = "medium"
    return fewer


def fewest(value: Any) -> int:
    """A count that is not a whole number (`50.0`, `"50"`) might be read as one, so it is not passed on."""
    return min(value, SEARCHES_AT_MOST) if type(value) is int else SEARCHES_AT_MOST
