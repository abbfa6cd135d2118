"""Invariant 19: every stored PDF is the one that was noted, and states the total of what it was made of."""

from accounts.invariants import LIMIT, Violations
from billing.models import Document
from billing.papers import document_files
from billing.papers.paper_kinds import PAPERS
from billing.papers.typesetting import keywords_of


def documents_that_differ() -> Violations:
    """One line a document; reads every file, so it takes a while with many."""
    found: list[str] = []
    documents = Document.objects.using("system").filter(kind__in=PAPERS).order_by("pk")
    documents = documents.select_related(*sorted({kind.subject for kind in PAPERS.values()}))
    for document in documents.iterator():
        if fault := _fault_of(document):
            found.append(f"organization_id {document.organization_id}, {fault}")
        if len(found) >= LIMIT:
            break
    return found


def _fault_of(document: Document) -> str:
    paper = PAPERS[document.kind]
    subject = getattr(document, paper.subject)
    if subject is None:
        return f"{document.path} belongs to no {paper.subject}"
    try:
        content = document_files.read(document.path, sha256=document.sha256)
    except document_files.WrongBytes as error:
        return str(error)
    stated, total = keywords_of(content), paper.total(subject)
    return "" if total in stated else f"{document.path} states {', '.join(stated)} instead of {total}"
