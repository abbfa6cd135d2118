"""The sweeper: asks upstreams about calls whose end nobody saw, has them charged by what it learns, waives what stays unknown.

Found by looking at rows, a few at a time. Being taken puts a question off (`ledger.questions`), so the intent is committed before
the upstream is asked, no transaction is open meanwhile, and several sweepers share the work.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from catalog import price_book
from catalog.model_routes import UpstreamEntry, entry_of
from catalog.models import LanguageModel, Upstream
from gateway.settlement import answering_model
from gateway.upstreams.lookups import Generation, Inquiry
from gateway.upstreams.selection import upstream_of_environment
from ledger import questions
from ledger.questions import Question
from metering import answering_questions
from metering.answering_questions import Learned

logger = logging.getLogger(__name__)
BATCH = 50
AT_ONCE = 8
LONGEST_PAUSE = 3600.0


def answer_questions(*, clock: Callable[[], datetime]) -> int:
    """Ask about what is due now, and charge or waive it; how many were answered."""
    answered = 0
    while taken := questions.take_due(
        now=clock(), limit=BATCH, pause=settings.QUESTION_PAUSE, longest_pause=LONGEST_PAUSE
    ):
        upstreams = known_upstreams()
        found = asyncio.run(_ask(taken, upstreams))
        for question, generation in zip(taken, found, strict=True):
            try:
                answered += _answer(question, generation, upstreams, now=clock())
            except Exception as error:  # one that cannot be answered must not keep the others waiting
                logger.error(
                    "question not answered",
                    extra={"hold_id": str(question.hold_id), "error_type": type(error).__name__},
                )
        if len(taken) < BATCH:
            break
    return answered


def known_upstreams() -> dict[str, UpstreamEntry]:
    """Every upstream that a hold may name, by its slug; one that is out of use is asked all the same."""
    known = {row.slug: entry_of(row) for row in Upstream.objects.using("system").all()}
    own = upstream_of_environment()
    return known if own is None else {own.slug: own, **known}


async def _ask(taken: Sequence[Question], upstreams: Mapping[str, UpstreamEntry]) -> list[Generation | None]:
    turns = asyncio.Semaphore(AT_ONCE)
    async with Inquiry() as inquiry:

        async def ask(question: Question) -> Generation | None:
            upstream = upstreams.get(question.upstream)
            if upstream is None or not question.generation_id:
                return None
            async with turns:
                return await inquiry.generation(upstream, question.generation_id)

        return await asyncio.gather(*(ask(question) for question in taken))


def _answer(
    question: Question, generation: Generation | None, upstreams: Mapping[str, UpstreamEntry], *, now: datetime
) -> bool:
    if generation is not None:
        model = _priced_model(question, generation, upstreams[question.upstream])
        learned = Learned(
            model=model,
            usage=generation.usage.counts,
            cost=generation.usage.cost,
            streamed=generation.streamed,
            finish_reason=generation.finish_reason or None,
        )
        done, evidence = answering_questions.recover(question, learned, now=now), "recovered"
    elif now - question.created_at >= timedelta(hours=settings.QUESTION_HOURS):
        done, evidence = answering_questions.waive(question, now=now), "waived"
    else:
        return False
    if done:
        logger.info(
            "question answered",
            extra={"hold_id": str(question.hold_id), "request_id": question.request_id, "evidence": evidence},
        )
    return done


def _priced_model(question: Question, generation: Generation, upstream: UpstreamEntry) -> str:
    asked = LanguageModel.objects.using("system").get(pk=question.model_id).slug
    entry = price_book.find_model(asked)
    return answering_model(entry, generation.model, trusted=upstream.kind == Upstream.Kind.OPENROUTER)
