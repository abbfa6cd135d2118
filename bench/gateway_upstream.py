"""The upstream that all gateways of the benchmark stand before: answers prepared beforehand, so that it costs next to nothing.

`python -m bench.gateway_upstream PORT`. A chat is answered whole or, with `"stream":true`, as 50 chunks with usage, each a write of
its own. The model's name orders two other streams: `…-slow` sends its first chunk, waits half a second and sends the rest; `…-idle`
sends its first chunk and then nothing until the caller leaves.
"""

import asyncio
import sys

import msgspec

CHUNKS = 50
SECONDS_BETWEEN = 0.5
MODEL = "bench-model"
USAGE = {"prompt_tokens": 20, "completion_tokens": CHUNKS, "total_tokens": 20 + CHUNKS}
FACTS = {"id": "gen-1763800000-bench", "created": 1763800000, "model": MODEL}


def _whole() -> bytes:
    message = {"role": "assistant", "content": "word " * CHUNKS}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = msgspec.json.encode({**FACTS, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _event(value: object) -> bytes:
    data = b"data: " + (value if isinstance(value, bytes) else msgspec.json.encode(value)) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _stream() -> list[bytes]:
    """A piece per write: the head, each chunk, and the end."""
    facts = {**FACTS, "object": "chat.completion.chunk"}
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [
        _event({**facts, "choices": [{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}]})
        for number in range(CHUNKS - 1)
    ]
    last = _event({**facts, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [
        head + chunks[0],
        *chunks[1:],
        last,
        _event({**facts, "choices": [], "usage": USAGE}),
        _event(b"[DONE]") + b"0\r\n\r\n",
    ]


WHOLE, STREAM = _whole(), _stream()


class Connection(asyncio.Protocol):
    """One caller's connection: requests with Content-Length, one after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._next_request()) is not None:
            self._answer(request)

    def _next_request(self) -> bytes | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end]).lower()
        if b"\r\nexpect:" in head:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0] or 0)
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        return body

    def _answer(self, body: bytes) -> None:
        if b'"stream":true' not in body.replace(b" ", b""):
            self._transport.write(WHOLE)
        elif b'-idle"' in body:
            self._transport.write(STREAM[0])
        elif b'-slow"' in body:
            self._transport.write(STREAM[0])
            asyncio.get_running_loop().call_later(SECONDS_BETWEEN, self._write_rest)
        else:
            self._transport.write(STREAM[0])
            self._write_rest()

    def _write_rest(self) -> None:
        for piece in STREAM[1:]:
            if not self._transport.is_closing():
                self._transport.write(piece)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
