"""REST: `GET usage/export`, every recorded call of a range as a file, with all that its amount is made of."""

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.api_views import OrganizationAPIView
from accounts.models import Scope
from metering.asked_events import TAG_PARAMETER, asked_events
from metering.exporting import Streams, usage_file
from metering.ranges import context_of
from metering.usage_shapes import ExportQuery

FILE_RESPONSES = {
    (200, "text/csv"): OpenApiTypes.STR,
    (200, "application/x-ndjson"): OpenApiTypes.STR,
    (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY,
}


class UsageExport(Streams, OrganizationAPIView):
    """Recorded calls as a file."""

    scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="export_usage",
        summary="Recorded calls as CSV, NDJSON or Parquet, oldest first",
        parameters=[ExportQuery, TAG_PARAMETER],
        responses=FILE_RESPONSES,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Everything that an amount is made of stands in its row; `/verify_receipts.py`, on this site, recomputes a file offline.
        Money is exact: decimal text, in Parquet decimal128(38, 20). In CSV a text that a spreadsheet could take for a formula has
        an apostrophe before it. Calls that wait for a price are not among them.
        """
        query = ExportQuery(data=request.query_params, context=context_of(self.organization))
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        wanted = asked_events(request, asked, organization=self.organization, now=timezone.now())
        return usage_file(organization=self.organization, wanted=wanted, format_name=asked["format"])
