"""Django's own pages speak to operators as ours do."""

from django.test import Client


def test_the_page_on_which_a_password_is_changed_is_as_polite_as_all_others(operator: Client) -> None:
    operator.cookies["invoicedream_language"] = "ko"
    wrong = {"old_password": "wrong", "new_password1": "a-long-new-one-9", "new_password2": "a-long-new-one-9"}
    page = operator.post("/password_change/", wrong).content.decode()
    for words in (
        "새 비밀번호를 두 번 입력해 주십시오",
        "같은 비밀번호를 한 번 더",
        "기존 비밀번호가 올바르지 않습니다",
    ):
        assert words in page
    assert "세요" not in page and "독자" not in page
