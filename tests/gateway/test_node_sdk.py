"""OpenAI's client for Node against the gateway, as its users use it. Opt-in: `make test ARGS="-m node_sdk"`.

The client is installed once, from its lock file, into `var/`, apart from all that the product uses.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from config.launch import installation, stamps
from config.launch.places import CHECKOUT
from tests import stories
from tests.gateway.running import House

SOURCE = Path(__file__).parent / "node_sdk"
HOME = CHECKOUT / "var" / "node-sdk"
FILES = ("package.json", "package-lock.json", ".npmrc")
HELLO = "안녕하세요! 무엇을 도와드릴까요?"

pytestmark = pytest.mark.node_sdk


@pytest.fixture(scope="module")
def installed() -> Path:
    """A folder with the client and the script."""
    wanted, stamp = stamps.digests([SOURCE / "package-lock.json"]), HOME / "installed.json"
    if stamps.read(stamp) != wanted:
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        for name in FILES:
            shutil.copy(SOURCE / name, HOME)
        installation.npm_ci(HOME, what="Installing OpenAI's client for Node")
        stamps.write(stamp, wanted)
    shutil.copy(SOURCE / "calls.mjs", HOME)
    return HOME


def test_what_programs_do_all_day(shared_house: House, installed: Path) -> None:
    house = shared_house
    own = {
        "BASE_URL": f"{house.gateway.url}/v1",
        "API_KEY": house.cast.acme.secret,
        "MODEL": stories.DEVSTRAL,
        "UPSTREAM": house.llm.url,
    }
    run = subprocess.run(
        [installation.node(), "calls.mjs"],
        cwd=installed,
        env={"PATH": os.environ["PATH"], **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    results: dict[str, Any] = json.loads(run.stdout)

    plain = results["plain"]
    assert (plain["text"], plain["own"]) == (HELLO, plain["request"])
    event = house.event_of(plain["request"])
    assert event is not None
    assert event["key"] == plain["receipt"]
    assert results["streamed"] == {"text": HELLO, "usage": event["input_tokens"] + event["output_tokens"]}
    assert results["helper"]["text"] == HELLO
    assert isinstance(results["parsed"]["answer"], str)
    assert "맑음" in results["tools"]["text"] and "맑음" in results["tools"]["streamed"]
    responses = results["responses"]
    assert responses["text"] == responses["final"] == HELLO
    assert responses["types"] == ["response.created", "response.completed"]
    assert isinstance(responses["parsed"]["answer"], str)
    assert results["embeddings"]["lengths"] == [8, 8]
    assert results["models"]["one"] in results["models"]["listed"]
    refusals = {name: (one["kind"], one["status"], one["code"]) for name, one in results["refusals"].items()}
    assert refusals == {
        "key": ("AuthenticationError", 401, "invalid_api_key"),
        "model": ("NotFoundError", 404, "model_not_found"),
        "body": ("BadRequestError", 400, "unsupported_parameter"),
    }
    assert results["breaks"]["chat"]["kind"] == results["breaks"]["response"]["kind"] == "APIError"
    assert results["breaks"]["chat"]["code"] == "upstream_error"
    assert results["retries"]["text"] == HELLO
    assert results["timeouts"]["kind"] == "APIConnectionTimeoutError"
