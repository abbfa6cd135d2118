"""`python -m sandbox.tax`: run the provider and the tax office until SIGTERM."""

import argparse
import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from sandbox.faults import FaultQueue
from sandbox.process import argument_parser, fail
from sandbox.tax import api, control
from sandbox.tax.book import Book
from sandbox.web import add_shared_routes, guard, serve


def parse_arguments() -> argparse.Namespace:
    parser = argument_parser(name="tax", summary="A provider of tax invoices, and a look-up of businesses.", port=8014)
    parser.add_argument("--directory", type=Path, required=True, help="where the book is kept")
    parser.add_argument("--secret-key", default="", help="demand requests for tokens signed with it (base64)")
    parser.add_argument("--transmit-seconds", type=float, default=60.0, help="until the tax office has a sheet (60)")
    return parser.parse_args()


def build_app(arguments: argparse.Namespace, book: Book) -> web.Application:
    queue = FaultQueue(known=api.CALL_FAULTS)

    async def background(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(control.transmit_in_time(book, arguments.transmit_seconds))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        book.connection.close()

    app = web.Application(middlewares=[guard])
    app[api.DESK] = api.Desk(book=book, queue=queue, secret_key=arguments.secret_key)
    app.cleanup_ctx.append(background)
    add_shared_routes(app, queue=queue, ready=book.is_ready)
    control.add_routes(app)
    api.add_routes(app)
    return app


async def run(arguments: argparse.Namespace) -> None:
    try:
        book = Book(arguments.directory)
    except (OSError, sqlite3.Error) as error:
        fail(f"sandbox.tax cannot use {arguments.directory}: {error}")
    await serve(build_app(arguments, book), name="tax", host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    asyncio.run(run(parse_arguments()))
