"""REST: an organization's credit notes – the list, and one with its lines and refunds."""

from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Scope
from accounts.pages import PageQuery, moment_and_id, page
from billing.corrections.credit_note_queries import find_note, notes_of_organization
from billing.rest.credit_note_answers import CreditNoteDetailAnswer, CreditNotePage, note_detail_json, note_json


class CreditNoteQuery(PageQuery):
    invoice = serializers.UUIDField(required=False, help_text="Only those on this invoice.")


class CreditNoteList(OrganizationAPIView):
    scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="list_credit_notes",
        summary="List credit notes, newest first",
        parameters=[CreditNoteQuery],
        responses=CreditNotePage,
    )
    def get(self, request: Request) -> Response:
        query = CreditNoteQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        notes = notes_of_organization(
            organization=self.organization,
            limit=asked["limit"] + 1,
            invoice_id=asked.get("invoice"),
            before=moment_and_id(asked["cursor"]) if "cursor" in asked else None,
        )
        return Response(
            page(
                notes,
                limit=asked["limit"],
                position=lambda note: (note.issued_at.isoformat(), str(note.pk)),
                render=note_json,
            )
        )


class CreditNoteDetail(OrganizationAPIView):
    scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="get_credit_note",
        summary="A credit note with its lines and refunds",
        responses=CreditNoteDetailAnswer,
    )
    def get(self, request: Request, note_id: UUID) -> Response:
        note = find_note(organization=self.organization, note_id=note_id)
        if note is None:
            raise Http404
        return Response(note_detail_json(note))
