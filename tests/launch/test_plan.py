"""Which stand-ins a run starts, and what it says about ports it cannot have."""

import socket
from collections.abc import Iterator

import pytest

from config.launch import plan
from config.launch.places import LaunchError, var_folder

everything = plan.Needs.of({})


@pytest.fixture(autouse=True)
def free_promised_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may be running the system while testing."""
    for name in plan.PROMISED_PORTS:
        monkeypatch.setenv(name, str(plan.ports.free_port()))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_bare_environment_gets_every_stand_in() -> None:
    assert everything == plan.Needs(postgres=True, redis=True, mailbox=True, payments=True, tax=True, llm=True)


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        ("DATABASE_URL", "postgres"),
        ("REDIS_URL", "redis"),
        ("EMAIL_URL", "mailbox"),
        ("STRIPE_SECRET_KEY", "payments"),
        ("POPBILL_LINK_ID", "tax"),
        ("OPENROUTER_API_KEY", "llm"),
        ("UPSTREAM_BASE_URL", "llm"),
    ],
)
def test_a_real_service_takes_the_stand_ins_place(name: str, spared: str) -> None:
    needs = plan.Needs.of({name: "something"})
    assert [field for field, wanted in vars(needs).items() if not wanted] == [spared]
    values = plan.embedded_values(
        needs=needs, chosen=plan.choose_ports(needs), secrets=dict.fromkeys(plan.SECRETS, "x"), var=var_folder()
    )
    assert name not in values
    assert values["DEMO"] == ("0" if spared == "postgres" else "1")  # no demo accounts in somebody's own database


def test_services_are_not_told_the_administrators_password() -> None:
    assert plan.without_login("postgres://postgres:secret@127.0.0.1:5432/x?a=b") == "postgres://127.0.0.1:5432/x?a=b"
    assert plan.without_login("postgres://127.0.0.1/x") == "postgres://127.0.0.1/x"


def test_all_ports_differ() -> None:
    chosen = plan.choose_ports(everything)
    assert len(set(chosen.values())) == len(chosen) == len(plan.PROMISED_PORTS) + len(plan.OTHER_PORTS)


def test_a_taken_port_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, taken_port: int) -> None:
    monkeypatch.setenv("SITE_PORT", str(taken_port))
    with pytest.raises(LaunchError) as caught:
        plan.choose_ports(everything)
    assert f"port {taken_port} (site)" in str(caught.value)
    assert "SITE_PORT=" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["eighty", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GATEWAY_PORT", text)
    with pytest.raises(LaunchError, match="GATEWAY_PORT must be a port number"):
        plan.choose_ports(everything)


def test_two_services_cannot_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_PORT", "8765")
    monkeypatch.setenv("CONSOLE_PORT", "8765")
    with pytest.raises(LaunchError, match="SITE_PORT and CONSOLE_PORT are both 8765"):
        plan.choose_ports(everything)
