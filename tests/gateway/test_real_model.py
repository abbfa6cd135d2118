"""The gateway before a real small model, served by llama.cpp: its words are nonsense, its usage is real.

Opt-in: `make test ARGS="-m real_model"`. Server and model (300 MB) are installed once, from a lock, into an environment of
their own.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from django.utils import timezone

from config.launch import installation, stamps
from config.launch.places import CHECKOUT
from tests import stories
from tests.gateway.conftest import gateway_environment
from tests.gateway.running import CAPTURED, House, look_into_database, running_gateway
from tests.sandbox.processes import StandIn

SOURCE = Path(__file__).parent / "real_model"
HOME = CHECKOUT / "var" / "real-model"
PATIENCE = dict.fromkeys(("GATEWAY_CHUNK_SECONDS", "GATEWAY_FIRST_BYTE_SECONDS", "GATEWAY_TOTAL_SECONDS"), "120")
HELLO: Any = [{"role": "user", "content": "Say hello."}]

pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def upstream() -> Iterator[StandIn]:
    """The real server."""
    lock, stamp = SOURCE / "requirements.txt", HOME / "installed.json"
    wanted = stamps.digests([lock])
    if stamps.read(stamp) != wanted:
        shutil.rmtree(HOME, ignore_errors=True)
        uv = installation.find_uv()
        installation.call(
            [uv, "venv", "--quiet", "--python", sys.executable, HOME], what="An environment for the model"
        )
        words = ["--quiet", "--require-hashes", "--python", HOME / "bin" / "python"]
        installation.call([uv, "pip", "sync", *words, lock], what="Installing a real model")
        stamps.write(stamp, wanted)
    server = subprocess.Popen(
        [HOME / "bin" / "python", SOURCE / "serve.py", HOME],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    try:
        address = next(line for line in server.stdout if line.startswith("ADDRESS")).split()[1]
        yield StandIn(server, {"port": address.rpartition(":")[2]})
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="module")
def shared_house(module_database: str, upstream: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    cast = stories.meet_the_cast(now=timezone.now())
    variables = gateway_environment(module_database, upstream, UPSTREAM_API_KEY="", **PATIENCE)
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    with look_into_database() as database, running_gateway(variables, log=log) as gateway:
        yield House(gateway=gateway, llm=upstream, cast=cast, database=database, environment=variables)


def counts(house: House) -> tuple[int, int]:
    """Prompt and completion tokens of the newest call, as they were charged."""
    hold = house.newest_hold()
    event = house.event_of(hold["request_id"])
    assert event is not None
    assert (hold["status"], hold["captured"] <= hold["amount"], event["amount"] > 0) == (CAPTURED, True, True)
    assert event["reported_cost"] is None
    return event["input_tokens"] + (event["cache_read_tokens"] or 0), event["output_tokens"]


def test_a_chat_is_charged_by_the_servers_own_count(shared_house: House) -> None:
    client = shared_house.gateway.client(shared_house.cast.acme.secret, timeout=120)
    completion = client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, max_tokens=6)
    assert counts(shared_house) == (completion.usage.prompt_tokens, completion.usage.completion_tokens)
    assert 0 < completion.usage.completion_tokens <= 6

    ask: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, max_tokens=6, **ask))
    assert counts(shared_house) == (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens)


def test_a_response_is_charged_by_the_servers_own_count(shared_house: House) -> None:
    client = shared_house.gateway.client(shared_house.cast.acme.secret, timeout=120)
    response = client.responses.create(model=stories.DEVSTRAL, input="Say hello.", max_output_tokens=16)
    assert counts(shared_house) == (response.usage.input_tokens, response.usage.output_tokens)

    events = list(client.responses.create(model=stories.DEVSTRAL, input="Hello", max_output_tokens=16, stream=True))
    assert events[-1].type == "response.completed"
    usage = events[-1].response.usage
    assert counts(shared_house) == (usage.input_tokens, usage.output_tokens)


def test_what_the_server_cannot_do_is_told_and_free(shared_house: House) -> None:
    client = shared_house.gateway.client(shared_house.cast.acme.secret, timeout=120)
    before = shared_house.charges()
    with pytest.raises(openai.APIStatusError):
        client.embeddings.create(model=stories.DEVSTRAL, input="hello")
    assert shared_house.charges() == before
