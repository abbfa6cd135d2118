"""How one signs in at Popbill: a token for our registration number, asked for with a request that our secret signs (Linkhub).

Signed are, a line each: the method, the body's SHA-256, the moment, the protocol's version, the path.
"""

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from datetime import UTC, datetime

from accounts import json_calls
from billing.tax.providers.interface import ProviderUnreachable

VERSION = "2.0"
SCOPES = ["member", "110"]
"""A member, and its tax invoices."""
SPARE_SECONDS = 60.0
SHORT_LIFE = 600.0
"""How long a token is used whose end cannot be read."""


def digits(registration_number: str) -> str:
    return re.sub(r"[^0-9]", "", registration_number)


class Login:
    """Keeps the token while it holds; safe to use from several threads."""

    def __init__(self, *, link_id: str, secret_key: str, corp_number: str, auth_url: str, service: str) -> None:
        self._link_id, self._secret_key, self._corp_number = link_id, secret_key, digits(corp_number)
        self._auth_url, self._service = auth_url.rstrip("/"), service
        self._token, self._until = "", 0.0
        self._lock = threading.Lock()

    def token(self) -> str:
        """A token that holds for another minute at least. Raises ProviderUnreachable."""
        with self._lock:
            if time.time() > self._until:
                self._token, self._until = self._ask()
            return self._token

    def forget(self) -> None:
        """It was not accepted: the next call asks for another."""
        with self._lock:
            self._until = 0.0

    def _ask(self) -> tuple[str, float]:
        path, at = f"/{self._service}/Token", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = json.dumps({"access_id": self._corp_number, "scope": SCOPES}).encode()
        headers = {
            "x-lh-date": at,
            "x-lh-version": VERSION,
            "Authorization": f"LINKHUB {self._link_id} {signature(self._secret_key, body=body, at=at, path=path)}",
            "Content-Type": "application/json",
        }
        try:
            reply = json_calls.call("POST", self._auth_url + path, headers=headers, body=body)
        except json_calls.NoAnswer as error:
            raise ProviderUnreachable(f"login: {error}") from None
        if reply.status != 200 or not isinstance(reply.body, dict) or not reply.body.get("session_token"):
            code = reply.body.get("code", "") if isinstance(reply.body, dict) else ""
            raise ProviderUnreachable(f"login: HTTP {reply.status} {code}".strip())
        return str(reply.body["session_token"]), _end(reply.body.get("expiration")) - SPARE_SECONDS


def signature(secret_key: str, *, body: bytes, at: str, path: str) -> str:
    """Base64 of the HMAC-SHA256 under the secret, which is base64 itself."""
    hashed = base64.b64encode(hashlib.sha256(body).digest()).decode()
    signed = "\n".join(["POST", hashed, at, VERSION, path])
    return base64.b64encode(hmac.new(base64.b64decode(secret_key), signed.encode(), hashlib.sha256).digest()).decode()


def _end(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return time.time() + SHORT_LIFE
