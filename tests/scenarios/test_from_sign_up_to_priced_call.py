"""The first half of the business, from a stranger's point of view: sign up, get a key, call, and see what it cost."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import openai
import requests

from tests.scenarios.browsing import Browser
from tests.scenarios.conftest import System

PASSWORD = "correct horse battery staple"
DEVSTRAL = "mistralai/devstral-small"


def signed_up(system: System, *, email: str) -> tuple[Browser, str]:
    """A newcomer who confirmed the address and got the first key: the browser, and the key's secret."""
    browser = Browser()
    browser.open(f"{system.demo['site']}/accounts/signup/").submit(
        holding="organization_name",
        email=email,
        password1=PASSWORD,
        password2=PASSWORD,
        name="김새롬",
        organization_name="새롬 주식회사",
        agree_terms="on",
        agree_privacy="on",
    )
    mail = system.mail_to(email)
    [link] = [link for link in mail["links"] if "confirm-email" in link]
    browser.open(link).submit(holding="confirm-email")
    assert browser.url.endswith("/welcome"), browser.url
    assert "₩5,000" in browser.text
    browser.submit(holding="/welcome")
    [secret] = set(re.findall(r"idk_live_[0-9A-Za-z]{38}", browser.text))
    return browser, secret


def test_a_stranger_becomes_a_customer_who_sees_every_won(system: System) -> None:
    browser, secret = signed_up(system, email=f"{uuid4().hex}@newcomer.example")
    client = openai.OpenAI(base_url=system.demo["gateway"], api_key=secret)

    question = [{"role": "user", "content": "안녕하세요"}]
    plain = client.chat.completions.with_raw_response.create(model=DEVSTRAL, messages=question)  # type: ignore[arg-type]
    answer = plain.parse()
    assert answer.choices[0].message.content and answer.usage
    chunks = list(client.chat.completions.create(model=DEVSTRAL, messages=question, stream=True))  # type: ignore[arg-type]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    called = client.chat.completions.create(
        model=DEVSTRAL,
        messages=question,  # type: ignore[arg-type]
        tools=[tool],  # type: ignore[list-item]
        tool_choice="required",
    )
    assert called.choices[0].message.tool_calls
    assert DEVSTRAL in [model.id for model in client.models.list()]
    assert client.completions.create(model=DEVSTRAL, prompt="안녕", max_tokens=8).usage

    api = f"{system.demo['site']}/api/v1"
    headers = {"Authorization": f"Bearer {secret}"}
    receipt = requests.get(f"{api}/usage/events/{plain.headers['x-invoicedream-receipt']}", headers=headers, timeout=10)
    assert receipt.status_code == 200
    assert f"{answer.usage.prompt_tokens} × 0.00000004 × (1 + 0.1) × 1500" in receipt.json()["formula"]
    usage = requests.get(f"{api}/usage", params={"group_by": "model"}, headers=headers, timeout=10).json()
    assert usage["totals"]["requests"] == 4

    overview = browser.open(f"{system.demo['site']}/dashboard")
    assert "Devstral" in overview.text and "새롬 주식회사" in overview.text
    audit = system.manage("audit")
    assert audit.returncode == 0, audit.stdout


def test_usage_pushed_twice_counts_once(system: System) -> None:
    api = f"{system.demo['site']}/api/v1/usage/events"
    headers = {"Authorization": f"Bearer {system.demo['service_key']}"}
    batch = [
        {
            "id": f"pushed-{uuid4()}",
            "organization": organization,
            "model": DEVSTRAL,
            "occurred_at": datetime.now(UTC).isoformat(),
            "input_tokens": 500_000,
            "output_tokens": 500_000,
        }
        for organization in ("acme", "globex", "nobody")
    ]
    first = requests.post(api, json=batch, headers=headers, timeout=10).json()
    second = requests.post(api, json=batch, headers=headers, timeout=10).json()
    assert [result["status"] for result in first["results"]] == ["accepted", "accepted", "rejected"]
    assert [result["status"] for result in second["results"]] == ["duplicate", "duplicate", "rejected"]


def test_the_model_page_tells_the_same_price_in_both_languages(system: System) -> None:
    page = f"{system.demo['site']}/models/mistralai-devstral-small"
    for language, words in (("ko", ("공급가액", "부가세", "매입세액")), ("en", ("Supply value", "VAT"))):
        text = Browser(language=language).open(page).text
        for expected in ("$0.040", "$0.080", "₩66", "₩6", "₩72", "131,072", "text-&gt;text", *words):
            assert expected in text, (language, expected)


def test_whoever_has_no_credit_or_no_key_is_told_so(system: System) -> None:
    _browser, secret = signed_up(system, email=f"{uuid4().hex}@newcomer.example")
    client = openai.OpenAI(base_url=system.demo["gateway"], api_key=secret, max_retries=0)
    expensive = {
        "model": "anthropic/claude-opus-4.5",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 60_000,
        "n": 4,
    }
    try:
        client.chat.completions.create(**expensive)  # type: ignore[call-overload]
    except openai.APIStatusError as refusal:
        assert (refusal.status_code, refusal.code) == (402, "insufficient_quota")
    else:
        raise AssertionError("a call beyond the trial credit was admitted")
    for wrong in ("", secret[:-1] + ("a" if secret[-1] != "a" else "b")):
        answer = requests.get(
            f"{system.demo['gateway']}/models", headers={"Authorization": f"Bearer {wrong}"}, timeout=10
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
