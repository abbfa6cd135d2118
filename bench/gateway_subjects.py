"""What stands between wrk and the upstream in one run: ours, the same without commits, LiteLLM, Portkey, nginx, nothing.

Peers are installed on first use from the locks in `bench/peers/` into `var/bench/`, outside our own environment. nginx is the
machine's; where there is none (Debian: `apt-get install nginx-light`), it is left out.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config.launch import installation, ports, services, stamps
from config.launch.places import CHECKOUT
from config.launch.processes import signal_group, spawn

LOCKS = CHECKOUT / "bench" / "peers"
ENVIRONMENTS = CHECKOUT / "var" / "bench"
MODELS = ("bench-model", "bench-model-slow", "bench-model-idle")
SECONDS_TO_START = 90.0
BUSY = {
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "json",
    "RATE_LIMIT_REQUESTS": "1000000000",
    "RATE_LIMIT_TOKENS": "1000000000000",
}
"""Of our gateway: it logs each request, as in production, and counts them in Redis against limits that nobody reaches."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something that answers chats at `url`. `process` leads its process group; `note` says how it is configured."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    note: str
    streams: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


Start = Callable[["Plan"], Subject]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the subjects need to know: the upstream, a key of ours, how many processes, where logs go."""

    upstream: str
    secret: str
    workers: int
    folder: Path

    def log(self, name: str) -> Path:
        return self.folder / f"{name.lower()}.log"


@contextmanager
def running(start: Start, plan: Plan) -> Iterator[Subject]:
    """A subject that answers; ended afterwards with all its processes."""
    subject = start(plan)
    try:
        _wait_until_it_answers(subject, plan)
        yield subject
    finally:
        signal_group(subject.process.pid, signal.SIGKILL)
        subject.process.wait()


def ours(plan: Plan) -> Subject:
    """The gateway as the launcher starts it, before real commits."""
    return _ours(plan, name="ours", application="config.gateway_asgi:app")


def ours_without_commits(plan: Plan) -> Subject:
    """The same without its writes, to tell what durability costs. Exists in the benchmark only."""
    return _ours(plan, name="ours without commits", application="bench.gateway_without_commits:app")


def _ours(plan: Plan, *, name: str, application: str) -> Subject:
    port = ports.free_port()
    service = services.gateway(port=port)
    command = [*service.command[:-1], "--workers", str(plan.workers), application]
    counted = {"RATE_LIMIT_REQUESTS": "1000000000", "RATE_LIMIT_TOKENS": "1000000000000"}  # asked for, never reached
    own = {"UPSTREAM_BASE_URL": f"{plan.upstream}/v1"} | BUSY
    environment = {**os.environ, **service.environment, **counted, **own}
    process = spawn(command, log=plan.log(name), environment=environment, folder=CHECKOUT)
    headers = {"Authorization": f"Bearer {plan.secret}"}
    note = f"uvicorn, {plan.workers} process(es)"
    return Subject(name=name, url=_local(port), process=process, note=note, headers=headers)


def litellm(plan: Plan) -> Subject:
    """LiteLLM's proxy without database, with its one key, logging errors only: as fast as it goes."""
    home, port = ENVIRONMENTS / "litellm", ports.free_port()
    _install_once(home, LOCKS / "litellm.txt", _install_litellm)
    models = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": f"{plan.upstream}/v1", "api_key": "x"},
        }
        for name in MODELS
    ]
    config = plan.folder / "litellm.json"
    key = f"sk-{secrets.token_hex(16)}"
    settings = {"litellm_settings": {"telemetry": False}, "general_settings": {"master_key": key}}
    config.write_text(json.dumps({"model_list": models, **settings}))
    command = [home / "bin" / "litellm", "--config", config, "--host", "127.0.0.1", "--port", port]
    command += ["--num_workers", plan.workers]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    process = _spawn_peer(command, plan.log("litellm"), quiet)
    headers = {"Authorization": f"Bearer {key}"}
    note = f"uvicorn with uvloop, {plan.workers} process(es)"
    return Subject(name="LiteLLM", url=_local(port), process=process, note=note, headers=headers)


def portkey(plan: Plan) -> Subject:
    """Portkey's gateway, one process of Node. Its release 1.15.2 answers every stream with 500, so it is asked for chats only."""
    home, port = ENVIRONMENTS / "portkey", ports.free_port()
    _install_once(home, LOCKS / "package-lock.json", _install_portkey)
    program = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = [installation.node(), program, "--headless", f"--port={port}"]
    process = _spawn_peer(command, plan.log("portkey"), {"NODE_ENV": "production"})
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{plan.upstream}/v1",
        "Authorization": "Bearer x",
    }
    note = "Node, 1 process"
    return Subject(name="Portkey", url=_local(port), process=process, note=note, streams=False, headers=headers)


def nginx(plan: Plan) -> Subject:
    """A proxy that does nothing but pass on: the limit of what can be asked for."""
    port = ports.free_port()
    config = plan.folder / "nginx.conf"
    config.write_text(NGINX.format(port=port, upstream=plan.upstream.removeprefix("http://"), folder=plan.folder))
    command = [found("nginx") or "nginx", "-c", config, "-p", plan.folder, "-e", plan.log("nginx")]
    return Subject(
        name="nginx", url=_local(port), process=_spawn_peer(command, plan.log("nginx"), {}), note="2 processes"
    )


def upstream_alone(plan: Plan) -> Subject:
    """The stand-in itself. Started by this one; the others are given its address."""
    port = int(plan.upstream.rpartition(":")[2])
    command = [sys.executable, "-m", "bench.gateway_upstream", str(port)]
    process = spawn(command, log=plan.log("upstream"), environment=dict(os.environ), folder=CHECKOUT)
    return Subject(name="direct", url=plan.upstream, process=process, note="no gateway, 1 process")


def found(program: str) -> str | None:
    """The program's path; daemons stand outside many people's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _spawn_peer(command: list[object], log: Path, extra: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """With nothing of ours in the environment: neither secrets nor Django's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return spawn([str(part) for part in command], log=log, environment=kept | extra, folder="/")


def _install_once(home: Path, lock: Path, install: Callable[[Path], None]) -> None:
    wanted, stamp = stamps.digests([lock]), home / "installed.json"
    if stamps.read(stamp) != wanted:
        print(f"installing {home.name} into {home.relative_to(CHECKOUT)}", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        install(home)
        stamps.write(stamp, wanted)


def _install_litellm(home: Path) -> None:
    uv = installation.find_uv()
    installation.call(
        [uv, "venv", "--quiet", "--python", sys.executable, home], what="Making an environment for LiteLLM"
    )
    sync = [
        uv,
        "pip",
        "sync",
        "--quiet",
        "--require-hashes",
        "--python",
        home / "bin" / "python",
        LOCKS / "litellm.txt",
    ]
    installation.call(sync, what="Installing LiteLLM")


def _install_portkey(home: Path) -> None:
    home.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(LOCKS / name, home)
    installation.npm_ci(home, what="Installing Portkey's gateway")


def _wait_until_it_answers(subject: Subject, plan: Plan) -> None:
    """Until a chat and a stream come back whole."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            whole = b'"usage"' in ask(subject, stream=False)
            if whole and (not subject.streams or b"[DONE]" in ask(subject, stream=True)):
                return
        except (OSError, ValueError):
            pass
        if subject.process.poll() is not None or time.monotonic() > deadline:
            lines = (
                plan.log(subject.name).read_text(errors="replace").splitlines()
                if plan.log(subject.name).exists()
                else []
            )
            raise SystemExit("\n".join([*lines[-20:], f"{subject.name} does not answer"]))
        time.sleep(0.2)


def ask(subject: Subject, *, stream: bool) -> bytes:
    """One answer, whole. Raises OSError for anything but a 200."""
    headers = {"Content-Type": "application/json", **subject.headers}
    request = urllib.request.Request(f"{subject.url}{PATH}", data=body(stream=stream).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"{subject.name} says {error.code}") from None


PATH = "/v1/chat/completions"


def body(*, stream: bool, model: str = MODELS[0]) -> str:
    """The request: about 500 bytes, as a short question with a system prompt is."""
    messages = [
        {"role": "system", "content": "You are a careful assistant. " * 8},
        {"role": "user", "content": "What does a gateway add to a call, and what must it never do? " * 3},
    ]
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return json.dumps({"model": model, **options, "messages": messages, "max_tokens": 100}, separators=(",", ":"))


def _local(port: int) -> str:
    return f"http://127.0.0.1:{port}"


NGINX = """
worker_processes 2; daemon off; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream standin {{ server {upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 10000000;
    location / {{ proxy_pass http://standin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""
