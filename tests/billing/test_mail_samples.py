"""Samples of mails: every kind, both languages, worded by the real functions, and nothing is written."""

from datetime import UTC, datetime

import pytest

from billing.mail.mail_samples import CONTEXTS, sample, sample_names
from billing.models import Notice, OutboxMail
from billing.notifications.notice_texts import TOLD_TO_PROGRAMS

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)


def test_every_kind_of_mail_has_a_sample() -> None:
    assert set(OutboxMail.Kind) - {OutboxMail.Kind.NOTICE} == set(CONTEXTS)
    told = {name.split(":")[1] for name in sample_names() if name.startswith("notice:")}
    assert told == {kind.value for kind in set(Notice.Kind) - TOLD_TO_PROGRAMS}


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("name", sample_names())
def test_it_is_worded_whole(db: None, name: str, language: str) -> None:
    found = sample(name, language=language, now=NOW)
    for said in (found.letter.subject, found.letter.text, found.letter.html):
        assert said and "None" not in said and "%(" not in said
    for risky in ("<img", "<link", "src=", "@import", "url(", "<script"):
        assert risky not in found.letter.html
    if language == "ko":
        assert "안녕하세요" in found.letter.text and "감사합니다." in found.letter.text
    assert f'<html lang="{language}"' in found.letter.html
    assert not OutboxMail.objects.using("system").exists()


def test_an_invitations_sample_opens_no_door(db: None) -> None:
    assert "/invitations/••••" in sample("invitation", language="ko", now=NOW).letter.text


def test_another_name_is_no_sample(db: None) -> None:
    for name in ("nothing", "notice", "notice:nothing"):
        with pytest.raises(KeyError):
            sample(name, language="ko", now=NOW)
