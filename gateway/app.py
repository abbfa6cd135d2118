"""The gateway: OpenAI's HTTP in front of an upstream, metered. config/gateway_asgi.py serves what `create_app` makes.

What is not routed here is refused: a path that was passed through would be a way around the meter.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from gateway.dialects.choices import CHAT_COMPLETIONS, COMPLETIONS
from gateway.dialects.embeddings import EMBEDDINGS
from gateway.dialects.responses import RESPONSES
from gateway.endpoints import Generation, answer_defect, answer_error, answer_http_error, list_models, show_model
from gateway.errors import GatewayError
from gateway.framing import RefuseAmbiguous
from gateway.probes import healthz, readyz
from gateway.process import Gateway
from gateway.upstreams.selection import Upstreams


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

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", Generation(CHAT_COMPLETIONS), methods=["POST"]),
            Route("/v1/completions", Generation(COMPLETIONS), methods=["POST"]),
            Route("/v1/embeddings", Generation(EMBEDDINGS), methods=["POST"]),
            Route("/v1/responses", Generation(RESPONSES), methods=["POST"]),
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
