"""The same buckets in Redis, shared by all processes: one atomic script for all calls that wait at a moment.

Rate limits protect the service, not the money (that is what holds are for), so Redis is asked briefly: an answer that does not come
within `patience` is not waited for. Redis is then left alone for some seconds, and connected to anew beside the calls.
"""

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Sequence

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from gateway.time_limits import time_limit
from gateway.token_buckets import Level, Take

logger = logging.getLogger(__name__)
SECONDS_TO_CONNECT = 0.25
SECONDS_OF_SILENCE = 3.0
MOST_AT_ONCE = 500

SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answers, key, arg = {}, 1, 1
while arg <= #ARGV do
    local taking, count = ARGV[arg] == 'take', tonumber(ARGV[arg + 1])
    arg = arg + 2
    local levels, waits, enough = {}, {}, true
    for i = 1, count do
        local limit, amount = tonumber(ARGV[arg + 2 * i - 2]), tonumber(ARGV[arg + 2 * i - 1])
        local kept = redis.call('HMGET', KEYS[key + i - 1], 'level', 'at')
        local level = limit
        if kept[1] then
            level = math.min(limit, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * limit / 60000)
        end
        levels[i], waits[i] = level, math.ceil(math.max(0, math.min(amount, limit) - level) * 60000 / limit)
        if taking and waits[i] > 0 then enough = false end
    end
    for i = 1, count do
        local limit, amount = tonumber(ARGV[arg + 2 * i - 2]), tonumber(ARGV[arg + 2 * i - 1])
        local level = levels[i]
        if not taking then
            level = math.min(limit, level + amount)
        elseif enough then
            level = level - amount
        end
        if enough then
            redis.call('HSET', KEYS[key + i - 1], 'level', tostring(level), 'at', tostring(now))
            redis.call('PEXPIRE', KEYS[key + i - 1], math.ceil((limit - level) * 60000 / limit) + 1000)
        end
        if taking then
            answers[#answers + 1] = string.format('%.0f %.0f', math.max(0, math.floor(level)), waits[i])
        end
    end
    key, arg = key + count, arg + 2 * count
end
return table.concat(answers, ' ')
"""
"""For each call its word (take, put), the number of its buckets, and of each limit and amount; the keys are the buckets' names.

Returns levels and waits of what was taken as one text: a client reads it in one go, where nested lists cost it a step an element.
"""
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

TAKE, PUT = "take", "put"
SECONDS_TO_PUT_BACK = 0.01
"""So long, what is put back waits for a call that takes, to go with it."""

Wish = tuple[str, Sequence[Take]]


class SharedBuckets:
    """Buckets in Redis. To be used on one event loop. `patience` is in seconds."""

    def __init__(self, url: str, *, patience: float) -> None:
        self._url = url
        self._patience = patience
        self._client: AbstractConnection | None = None
        self._waiting: list[tuple[Wish, asyncio.Future[list[Level] | None] | None]] = []
        self._putting: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._silent_until = 0.0

    async def connect(self) -> None:
        """Done before the first call; whoever calls while there is no connection has it made, and does not wait for it."""
        pool = ConnectionPool.from_url(self._url, retry=Retry(NoBackoff(), 0), socket_timeout=None)
        try:
            async with asyncio.timeout(SECONDS_TO_CONNECT):
                self._client = await pool.get_connection()  # type: ignore[no-untyped-call]
        except Exception as error:
            self._fall_silent(error)
            await pool.disconnect()

    async def take(self, takes: Sequence[Take]) -> list[Level] | None:
        """Take from all buckets if all have enough, else from none. None if Redis does not answer in time."""
        loop = asyncio.get_running_loop()
        if self._client is None:
            if loop.time() >= self._silent_until and (self._connecting is None or self._connecting.done()):
                self._connecting = loop.create_task(self.connect())
            return None
        answer: asyncio.Future[list[Level] | None] = loop.create_future()
        self._waiting.append(((TAKE, takes), answer))
        self._ask()
        return await answer

    def put_back(self, takes: Sequence[Take]) -> None:
        """Put amounts back, soon; negative ones are taken. Nobody waits for it, and it may be lost with Redis."""
        if self._client is not None:
            self._waiting.append(((PUT, takes), None))
            if self._putting is None:
                self._putting = asyncio.get_running_loop().call_later(SECONDS_TO_PUT_BACK, self._ask)

    async def close(self) -> None:
        self._ask()
        running = [task for task in (self._asking, self._connecting) if task is not None]
        if running:
            await asyncio.wait(running, timeout=SECONDS_TO_CONNECT * 2)
        if self._client is not None:
            await _disconnect(self._client)

    def _ask(self) -> None:
        """Whoever asks while an answer is under way goes with the next question."""
        if self._putting is not None:
            self._putting.cancel()
            self._putting = None
        if self._client is not None and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._ask_all(self._client))

    async def _ask_all(self, client: AbstractConnection) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            answers: Sequence[list[Level] | None] = [None] * len(batch)
            if self._client is client:
                try:
                    with time_limit(self._patience):
                        answers = await _run(client, [wish for wish, _answer in batch])
                except Exception as error:  # whatever it is, nobody may be left waiting
                    self._client = None
                    self._fall_silent(error)
            for (_wish, answer), levels in zip(batch, answers, strict=True):
                if answer is not None and not answer.done():
                    answer.set_result(levels)
        if self._client is not client:
            await _disconnect(client)

    def _fall_silent(self, error: Exception) -> None:
        self._silent_until = asyncio.get_running_loop().time() + SECONDS_OF_SILENCE
        logger.warning("rate limits are not shared: Redis does not answer", extra={"error_type": type(error).__name__})


async def _run(client: AbstractConnection, wishes: Sequence[Wish]) -> list[list[Level]]:
    names = [take.name for _word, takes in wishes for take in takes]
    words: list[str | int] = [len(names), *names]
    for word, takes in wishes:
        words += [word, len(takes)]
        for take in takes:
            words += [take.limit, take.amount]
    try:
        answer = await _command(client, ["EVALSHA", DIGEST, *words])
    except NoScriptError:  # a Redis that was started anew
        answer = await _command(client, ["EVAL", SCRIPT, *words])
    numbers = iter(map(int, answer.split()))
    return [
        [Level(left, wait) for left, wait in itertools.islice(zip(numbers, numbers, strict=True), len(takes))]
        if word == TAKE
        else []
        for word, takes in wishes
    ]


async def _command(client: AbstractConnection, words: Sequence[str | int]) -> bytes:
    """One command, past what redis-py does around each, which costs several times as much: retries, events, pools."""
    texts = [str(word).encode() for word in words]
    packed = b"".join([b"$%d\r\n%b\r\n" % (len(text), text) for text in texts])
    await client.send_packed_command(b"*%d\r\n%b" % (len(texts), packed), check_health=False)
    answer: bytes = await client.read_response(disable_decoding=True)
    return answer


async def _disconnect(client: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(SECONDS_TO_CONNECT):
            await client.disconnect()
    except (RedisError, OSError, TimeoutError):
        pass
