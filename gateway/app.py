"""The gateway: OpenAI's HTTP in front of an upstream, metered. config/gateway_asgi.py serves what `create_app` makes.

What is not routed here is refused: a path that was passed through would be a way around the meter.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.dialects.choices import CHAT_COMPLETIONS, COMPLETIONS
from gateway.dialects.embeddings import EMBEDDINGS
from gateway.dialects.responses import RESPONSES
from gateway.endpoints import Generation, answer_defect, answer_error, answer_http_error, list_models, show_model
from gateway.errors import GatewayError
from gateway.framing import RefuseAmbiguous, defect_of
from gateway.probes import healthz, readyz
from gateway.process import Gateway
from gateway.upstreams.selection import Upstreams

GENERATIONS = {
    f"/v1/{dialect.path}": Generation(dialect) for dialect in (CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, RESPONSES)
}
"""By path."""


class App(Starlette):
    """Calls go straight to their endpoint, which answers all errors itself; everything else goes through Starlette's layers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = GENERATIONS.get(scope["path"])
            if endpoint is not None and defect_of(scope) is None:
                scope["app"] = self
                await endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create_app() -> Starlette:
    """The application of one process. Raises ImproperlyConfigured if no upstream is set."""
    upstreams = Upstreams()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.gateway = gateway = Gateway(upstreams=upstreams)
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop()

    app = App(
        routes=[
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in GENERATIONS.items()),
            Route("/v1/models", list_models, methods=["GET"]),
            Route("/v1/models/{slug:path}", show_model, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
        ],
        exception_handlers={GatewayError: answer_error, HTTPException: answer_http_error, Exception: answer_defect},
        middleware=[Middleware(RefuseAmbiguous)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app
