"""REST: all that is an organization's as one file: `POST exports` asks for it, `GET exports…` says how far it is and sends it."""

import logging
from typing import Any
from uuid import UUID

from django.http import FileResponse, Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Role
from accounts.recent_sign_in import has_signed_in_recently
from billing.exports import exporting
from billing.models import DataExport
from billing.papers import document_files
from metering.exporting import Streams

logger = logging.getLogger(__name__)
ROLES_THAT_EXPORT = frozenset({Role.OWNER})


class ExportsView(OrganizationAPIView):
    """For owners with their session, on which the password was given just now: no key exports everything."""

    scope = ""
    roles = ROLES_THAT_EXPORT
    after_end = True

    def export(self, export_id: UUID) -> DataExport:
        found = DataExport.objects.for_organization(self.organization).filter(pk=export_id).first()
        if found is None:
            raise Http404
        return found

    def require_recent_sign_in(self) -> None:
        if not has_signed_in_recently(self.request._request):
            raise SignInTooOld


class SignInTooOld(APIException):
    status_code = 403
    default_detail = "Confirm on the site that it is you, at /accounts/reauthenticate/, and ask again."
    default_code = "sign_in_too_old"


class ExportAnswer(serializers.Serializer[Any]):
    """An export. `percent` is about how much is written; `sha256` and `size` are the file's."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=DataExport.Status.choices)
    percent = serializers.IntegerField()
    asked_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    size = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_blank=True)


class ExportList(serializers.Serializer[Any]):
    data = ExportAnswer(many=True)  # type: ignore[assignment]


class TooManyExports(APIException):
    status_code = 429
    default_detail = "Too many exports were asked for today. Ask again tomorrow."
    default_code = "too_many_exports"


class ExportNotReady(APIException):
    """It is not made yet, or thrown away already."""

    status_code = 409
    default_detail = "There is no file: the export is not ready yet, or has expired."
    default_code = "export_not_ready"


class Exports(ExportsView):
    @extend_schema(operation_id="list_exports", summary="Exports of all data, newest first", responses=ExportList)
    def get(self, request: Request) -> Response:
        return Response({"data": [ExportAnswer(one).data for one in exporting.exports_of(self.organization)]})

    @extend_schema(
        operation_id="make_export", summary="Ask for an export of all data", request=None, responses={202: ExportAnswer}
    )
    def post(self, request: Request) -> Response:
        """One zip file: tables as CSV, requests, papers as PDF, and a manifest with hashes. One is made at a time: while one is,
        that is the answer. 403 `sign_in_too_old` where the password was not given in the last ten minutes.
        """
        self.require_recent_sign_in()
        try:
            export = exporting.ask_for_export(
                organization_id=self.organization.pk, now=timezone.now(), actor=self.caller.user
            )
        except exporting.TooManyExports:
            raise TooManyExports from None
        return Response(ExportAnswer(export).data, status=202)


class ExportDetail(ExportsView):
    @extend_schema(operation_id="get_export", summary="How far an export is", responses=ExportAnswer)
    def get(self, request: Request, export_id: UUID) -> Response:
        return Response(ExportAnswer(self.export(export_id)).data)


class ExportFile(Streams, ExportsView):
    @extend_schema(
        operation_id="get_export_file",
        summary="The file of an export",
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, export_id: UUID) -> FileResponse:
        """409 `export_not_ready` where there is no file; 403 `sign_in_too_old` as for asking."""
        export = self.export(export_id)
        self.require_recent_sign_in()
        try:
            return export_file(export, actor=self.caller.user)
        except document_files.WrongBytes as error:
            logger.warning("no export to send", extra={"reason": str(error)})
            raise ExportNotReady from None


def export_file(export: DataExport, *, actor: Any) -> FileResponse:
    """The file as a download, sent in pieces. Raises `document_files.WrongBytes`."""
    now = timezone.now()
    return FileResponse(
        exporting.open_export(export, now=now, actor=actor),
        as_attachment=True,
        filename=f"{export.organization.slug}-{export.asked_at:%Y%m%d}.zip",
        content_type="application/zip",
        headers={"Cache-Control": "private, no-store"},
    )
