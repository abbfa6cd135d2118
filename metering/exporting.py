"""Usage as a file that streams: what the REST API, the site and an invoice's evidence have in common."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import Organization
from metering.event_filters import EventFilter
from metering.export_formats import FORMATS
from metering.export_rows import HEADER, Batches, Header, export_rows

logger = logging.getLogger(__name__)
MOMENT = timedelta(microseconds=1)


class Streams(APIView):
    """A REST view that answers with a file. `format` is a parameter of its own, not the framework's choice of a renderer."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        renderer = self.get_renderers()[0]
        return renderer, str(renderer.media_type)


def usage_file(*, organization: Organization, wanted: EventFilter, format_name: str) -> StreamingHttpResponse:
    """All events that match, as a download named after the organization and its days."""
    zone = ZoneInfo(organization.zone)
    first, last = (moment.astimezone(zone).date() for moment in (wanted.start, wanted.end - MOMENT))
    rows = export_rows(organization=organization, wanted=wanted)
    name = f"usage-{organization.slug}-{first.isoformat()}-{last.isoformat()}"
    return file_of(HEADER, rows, name=name, format_name=format_name)


def file_of(header: Header, rows: Batches, *, name: str, format_name: str) -> StreamingHttpResponse:
    """Rows as a download. They are read while it is sent, when the view's own transaction is over."""
    chosen = FORMATS[format_name]
    return StreamingHttpResponse(
        _to_the_end(chosen.write(header, rows), broken_off=chosen.broken_off, name=name),
        content_type=chosen.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}.{format_name}"',
            "Cache-Control": "private, no-store",
            "X-Accel-Buffering": "no",
        },
    )


def _to_the_end(parts: Iterator[bytes], *, broken_off: bytes, name: str) -> Iterator[bytes]:
    """The parts. Should one fail, the status has long been sent: then the file's last line says that it is not complete."""
    try:
        yield from parts
    except Exception:
        logger.exception("an export broke off", extra={"export": name})
        yield broken_off
