"""What a refusal or a broken connection says of money and of a second try, before any answer began.

Free is only what provably did no work: a connection that was not taken, any 4xx, and a 5xx that says in the API's own words that it
failed (OpenAI, OpenRouter and their kind do not charge for those). A 5xx without such words comes from something in between, while
the server behind it may go on generating; so may one that falls silent or drops the connection after the request was sent.
"""

from collections.abc import Iterable

from gateway.errors import UpstreamFailed, UpstreamRefused
from gateway.upstreams.base import Again, CallFailed
from gateway.upstreams.openai_errors import error_in, error_of_status

UNCLEAR = "Whether it charges for the call is being clarified; your usage will show it."
SILENT = f"The model's provider did not answer in time. {UNCLEAR}"
DROPPED = f"The connection to the model's provider was lost. {UNCLEAR}"
LONGEST_WAIT = 3600


def failure_of_status(
    status: int, body: bytes, *, retry_after: str, upstream: str, secrets: Iterable[str]
) -> CallFailed:
    """What an answer with another status than 200 means."""
    error = error_of_status(status, body, retry_after=retry_after, upstream=upstream, secrets=secrets)
    wait = float(min(int(retry_after), LONGEST_WAIT)) if retry_after.isascii() and retry_after.isdecimal() else 0.0
    if status == 429 or status == 408:
        return CallFailed(error, again=Again.HERE, wait=wait)
    if isinstance(error, UpstreamRefused):
        return CallFailed(error, again=Again.ELSEWHERE if status == 404 else Again.NOWHERE)
    if 300 <= status < 500:
        return CallFailed(error, again=Again.ELSEWHERE)
    if error_in(body) is None:
        return CallFailed(UpstreamFailed(DROPPED), again=Again.HERE, may_cost=True, wait=wait)
    return CallFailed(error, again=Again.HERE, wait=wait)


def fell_silent() -> CallFailed:
    """The request was sent, and no answer began in time."""
    return CallFailed(UpstreamFailed(SILENT, code="upstream_timeout"), again=Again.HERE, may_cost=True)


def lost_connection() -> CallFailed:
    """The connection broke after it was taken: the request may have arrived."""
    return CallFailed(UpstreamFailed(DROPPED), again=Again.HERE, may_cost=True)
