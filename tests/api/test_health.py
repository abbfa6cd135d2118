"""Is the process up, can it work?"""

import pytest
from django.test import Client

from config import health


def test_up(db: None) -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready(db: None) -> None:
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "database": "up", "redis": "up"})


def test_degraded_without_redis(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["status"], answer.json()["redis"]) == (200, "degraded", "down")


def test_unavailable_without_the_database(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "database_answers", lambda: False)
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
