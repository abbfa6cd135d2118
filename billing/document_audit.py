"""Invariant 19: every stored PDF is the one that was noted, and states the total of its invoice."""

from accounts.invariants import LIMIT, Violations
from billing import document_files
from billing.document_content import total_keyword
from billing.models import Document
from billing.typesetting import keywords_of


def documents_that_differ() -> Violations:
    """One line a document; reads every file, so it takes a while with many."""
    found: list[str] = []
    for document in Document.objects.using("system").select_related("invoice").order_by("pk").iterator():
        if fault := _fault_of(document):
            found.append(f"organization_id {document.organization_id}, {fault}")
        if len(found) >= LIMIT:
            break
    return found


def _fault_of(document: Document) -> str:
    try:
        content = document_files.read(document.path, sha256=document.sha256)
    except document_files.WrongBytes as error:
        return str(error)
    stated, total = keywords_of(content), total_keyword(document.invoice)
    return "" if total in stated else f"{document.path} states {', '.join(stated)} instead of {total}"
