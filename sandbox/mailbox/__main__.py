"""`python -m sandbox.mailbox`: run SMTP and web until SIGTERM."""

import argparse
import asyncio
from pathlib import Path

from aiohttp import web

from sandbox.faults import FaultQueue
from sandbox.mailbox import api, pages, receiving
from sandbox.mailbox.store import Store
from sandbox.process import argument_parser, fail
from sandbox.web import add_shared_routes, guard, serve


def parse_arguments() -> argparse.Namespace:
    parser = argument_parser(name="mailbox", summary="Takes any mail over SMTP and shows it.", port=8025)
    parser.add_argument("--smtp-port", type=int, default=1025, help="port for SMTP (1025); 0 takes a free one")
    parser.add_argument("--directory", type=Path, required=True, help="where the mails are kept")
    parser.add_argument("--keep", type=int, default=1000, help="mails to keep; older ones are removed (1000)")
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> None:
    try:
        store = Store(arguments.directory, limit=max(1, arguments.keep))
    except OSError as error:
        fail(f"sandbox.mailbox cannot use {arguments.directory}: {error.strerror}")
    queue = FaultQueue(known=receiving.FAULTS)
    loop = asyncio.get_running_loop()
    try:
        factory = receiving.protocol_factory(store=store, queue=queue)
        smtp = await loop.create_server(factory, arguments.host, arguments.smtp_port)
    except OSError as error:
        fail(f"sandbox.mailbox cannot listen for SMTP on {arguments.host}:{arguments.smtp_port}: {error.strerror}")
    smtp_port = smtp.sockets[0].getsockname()[1]
    app = web.Application(middlewares=[guard])
    app[api.STORE] = store
    app[pages.SMTP_PORT] = smtp_port
    add_shared_routes(app, queue=queue, ready=store.is_writable)
    api.add_routes(app)
    pages.add_routes(app)
    await serve(app, name="mailbox", host=arguments.host, port=arguments.port, smtp_port=smtp_port)
    smtp.close()


if __name__ == "__main__":
    asyncio.run(run(parse_arguments()))
