"""`python -m sandbox.payments`: run the processor until SIGTERM."""

import argparse
import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from sandbox.faults import FaultQueue
from sandbox.payments import api, control, hosted
from sandbox.payments.books import Books
from sandbox.payments.desk import Desk
from sandbox.payments.events import Endpoint, Journal
from sandbox.payments.idempotency import Keys
from sandbox.payments.webhooks import Deliverer
from sandbox.process import argument_parser, fail
from sandbox.web import add_shared_routes, guard, serve


def parse_arguments() -> argparse.Namespace:
    parser = argument_parser(name="payments", summary="A Stripe-compatible payment processor.", port=8012)
    parser.add_argument("--directory", type=Path, required=True, help="where the books are kept")
    parser.add_argument("--public-url", default="", help="address of the hosted pages (http://HOST:PORT)")
    parser.add_argument("--secret-key", default="", help="demand this key; without it any sk_test_ key is served")
    parser.add_argument("--webhook-url", default="", help="where events are delivered; empty delivers none")
    parser.add_argument("--webhook-secret", default="whsec_sandbox", help="signs the deliveries (whsec_sandbox)")
    parser.add_argument("--webhook-pause", type=float, default=1.0, help="first pause before a retry, in seconds (1)")
    parser.add_argument("--settle-seconds", type=float, default=5.0, help="how long a slow payment is processing (5)")
    parser.add_argument("--key-hours", type=float, default=24.0, help="how long idempotency keys are kept (24)")
    return parser.parse_args()


def build_app(arguments: argparse.Namespace, books: Books) -> web.Application:
    queue = FaultQueue(known=(*api.CALL_FAULTS, *api.WEBHOOK_FAULTS))
    endpoint = Endpoint(url=arguments.webhook_url, secret=arguments.webhook_secret)
    journal = Journal(books=books, queue=queue, endpoint=endpoint)
    desk = Desk(books, journal, arguments.public_url.rstrip("/"), arguments.settle_seconds)
    keys = Keys(books, hours=arguments.key_hours)
    deliverer = Deliverer(books=books, endpoint=endpoint, first_pause=arguments.webhook_pause)

    async def background(app: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(deliverer.run()), asyncio.create_task(control.settle_in_time(desk))]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        books.connection.close()

    app = web.Application(middlewares=[guard])
    app[hosted.DESK], app[control.KEYS], app[control.ENDPOINT] = desk, keys, endpoint
    app.cleanup_ctx.append(background)
    add_shared_routes(app, queue=queue, ready=books.is_ready)
    control.add_routes(app)
    hosted.add_routes(app)
    door = api.Api(desk=desk, keys=keys, queue=queue, secret_key=arguments.secret_key)
    app.router.add_route("*", "/v1/{path:.*}", door.handle)
    return app


async def run(arguments: argparse.Namespace) -> None:
    try:
        books = Books(arguments.directory)
    except (OSError, sqlite3.Error) as error:
        fail(f"sandbox.payments cannot use {arguments.directory}: {error}")
    await serve(build_app(arguments, books), name="payments", host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    asyncio.run(run(parse_arguments()))
