"""The upstream's own record of every generation: what it would charge, and the answer to `GET /generation?id=`.

It is kept in memory and bounded: beyond the limit the oldest generation is forgotten. No prompt and no answer is kept.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sandbox.llm import models
from sandbox.llm.planning import Usage


@dataclass(slots=True)
class Generation:
    """One generation: running, then completed, cancelled (the caller left) or failed (the upstream did)."""

    id: str
    model: str
    endpoint: str
    streamed: bool
    created: float
    usage: Usage
    state: str = "running"
    finish_reason: str | None = None
    fault: str = ""
    seconds: float = 0.0
    events_sent: int = 0

    @property
    def cost(self) -> Decimal:
        return sum(self.usage.costs(self.model), Decimal(0))

    def close(self, state: str, *, finish_reason: str | None) -> None:
        if self.state == "running":
            self.state = state
            self.finish_reason = finish_reason
            self.seconds = time.time() - self.created

    def as_bill_entry(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "model": self.model,
            "endpoint": self.endpoint,
            "streamed": self.streamed,
            "created": self.created,
            "state": self.state,
            "completed": self.state == "completed",
            "cancelled": self.state == "cancelled",
            "finish_reason": self.finish_reason,
            "fault": self.fault or None,
            "native_tokens_prompt": self.usage.prompt_tokens,
            "native_tokens_completion": self.usage.completion_tokens,
            "native_tokens_cached": self.usage.cached_tokens,
            "native_tokens_cache_write": self.usage.cache_write_tokens,
            "native_tokens_reasoning": self.usage.reasoning_tokens,
            "cost": format(self.cost.normalize(), "f"),
        }

    def as_lookup(self) -> dict[str, Any]:
        """OpenRouter's shape; its `tokens_*` are another tokenizer's estimates, on purpose unlike the native ones."""
        created = datetime.fromtimestamp(self.created, UTC)
        return {
            "id": self.id,
            "upstream_id": None,
            "model": self.model,
            "provider_name": models.provider_of(self.model),
            "created_at": created.isoformat(),
            "streamed": self.streamed,
            "cancelled": self.state == "cancelled",
            "finish_reason": self.finish_reason,
            "native_finish_reason": self.finish_reason,
            "tokens_prompt": self.usage.prompt_tokens + 3,
            "tokens_completion": self.usage.completion_tokens + 5 if self.usage.completion_tokens else 0,
            "native_tokens_prompt": self.usage.prompt_tokens,
            "native_tokens_completion": self.usage.completion_tokens,
            "native_tokens_reasoning": self.usage.reasoning_tokens,
            "native_tokens_cached": self.usage.cached_tokens,
            "native_tokens_completion_images": 0,
            "num_search_results": None,
            "total_cost": self.cost,
            "usage": self.cost,
            "upstream_inference_cost": None,
            "cache_discount": None,
            "is_byok": False,
            "origin": "",
            "latency": 0,
            "generation_time": round(self.seconds * 1000),
            "api_type": "embeddings" if self.endpoint.endswith("embeddings") else "completions",
        }


class Bill:
    """The newest generations, by id."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._generations: OrderedDict[str, Generation] = OrderedDict()
        self._forgotten = 0
        self._spent = Decimal(0)

    def add(self, generation: Generation) -> None:
        self._generations[generation.id] = generation
        while len(self._generations) > self._limit:
            _, oldest = self._generations.popitem(last=False)
            self._spent += oldest.cost
            self._forgotten += 1

    def find(self, generation_id: str) -> Generation | None:
        return self._generations.get(generation_id)

    def total_cost(self) -> Decimal:
        """US dollars of all generations since the bill was last cleared, forgotten ones included."""
        return self._spent + sum((generation.cost for generation in self._generations.values()), Decimal(0))

    def report(self) -> dict[str, Any]:
        entries = [generation.as_bill_entry() for generation in self._generations.values()]
        return {
            "generations": entries,
            "count": len(entries),
            "forgotten": self._forgotten,
            "total_cost": format(self.total_cost().normalize(), "f"),
        }

    def activity(self, *, day: str) -> list[dict[str, Any]]:
        """What each model cost on each UTC day, or on `day` only, in OpenRouter's shape."""
        costs: dict[tuple[str, str], list[Decimal]] = {}
        for generation in self._generations.values():
            date = datetime.fromtimestamp(generation.created, UTC).date().isoformat()
            if day in ("", date):
                costs.setdefault((date, generation.model), []).append(generation.cost)
        return [
            {"date": date, "model": model, "usage": sum(amounts, Decimal(0)), "requests": len(amounts)}
            for (date, model), amounts in costs.items()
        ]

    def clear(self) -> None:
        self._generations.clear()
        self._forgotten = 0
        self._spent = Decimal(0)
