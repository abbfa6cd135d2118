"""`python -m sandbox.llm`: run the upstream stand-in until SIGTERM."""

import argparse
import asyncio
import gc

from sandbox.llm import faults
from sandbox.llm.bill import Bill
from sandbox.llm.connection import Connection
from sandbox.llm.routes import Routes
from sandbox.llm.sending import Pace, Sender
from sandbox.llm.serving import Generations
from sandbox.process import argument_parser, fail, log, until_told_to_stop


def parse_arguments() -> argparse.Namespace:
    parser = argument_parser(name="llm", summary="An OpenAI- and OpenRouter-compatible upstream.", port=8010)
    parser.add_argument("--delay-ms", type=float, default=0, help="wait before the headers of every answer (0)")
    parser.add_argument("--chunk-delay-ms", type=float, default=0, help="wait after every chunk of a stream (0)")
    parser.add_argument("--chunks", type=int, default=0, help="content chunks of a stream; 0 cuts at words (0)")
    parser.add_argument("--coalesce", type=int, default=1, help="chunks that share one write to the socket (1)")
    parser.add_argument("--openai-usage", action="store_true", help="usage on streams only when asked for, and no cost")
    parser.add_argument("--bill-delivered", action="store_true", help="bill a caller who leaves for what was sent only")
    parser.add_argument("--bill-limit", type=int, default=20_000, help="generations that the bill remembers (20000)")
    parser.add_argument("--api-key", default="", help="demand this key; without it any caller is served")
    return parser.parse_args()


def build_routes(arguments: argparse.Namespace) -> Routes:
    bill = Bill(limit=max(1, arguments.bill_limit))
    queue = faults.new_queue()
    pace = Pace(
        delay=arguments.delay_ms / 1000,
        chunk_delay=arguments.chunk_delay_ms / 1000,
        chunks=max(0, arguments.chunks),
        coalesce=max(1, arguments.coalesce),
        bill_delivered_only=arguments.bill_delivered,
    )
    generations = Generations(bill=bill, queue=queue, sender=Sender(pace=pace), openai_usage=arguments.openai_usage)
    return Routes(generations=generations, bill=bill, queue=queue, api_key=arguments.api_key)


async def serve(arguments: argparse.Namespace) -> None:
    routes = build_routes(arguments)
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: Connection(routes.handle, connections), arguments.host, arguments.port, backlog=1024
        )
    except OSError as error:
        fail(f"sandbox.llm cannot listen on {arguments.host}:{arguments.port}: {error.strerror}")
    log("sandbox_started", name="llm", host=arguments.host, port=server.sockets[0].getsockname()[1])
    await until_told_to_stop()
    server.close()
    for connection in list(connections):
        connection.transport.abort()
    await asyncio.sleep(0)
    log("sandbox_stopped", name="llm")


if __name__ == "__main__":
    gc.freeze()
    asyncio.run(serve(parse_arguments()))
