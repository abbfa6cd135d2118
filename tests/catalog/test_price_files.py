"""Price lists out of files, and the command that imports them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from catalog.feed.files import read_csv, read_price_file
from catalog.feed.snapshot import SnapshotRefused
from catalog.models import CostPrice, CostTable, LanguageModel, PriceFeed, QuarantinedPrice
from pricing.tokens import TokenClass
from tests import stories
from tests.catalog.feeds import PRICE, item, listing, row_counts, sheets_of
from tests.catalog.test_feed_importing import BAD


@pytest.fixture
def folder(db: None, tmp_path: Path) -> Iterator[Path]:
    stories.forget_what_processes_remember()
    CostTable.objects.using("system").create(slug="self-hosted", name="Self-hosted")
    yield tmp_path


def import_prices(*arguments: Any) -> str:
    """What the command prints. A file is imported without a question, unless it is only looked at."""
    if "--file" in arguments and "--dry-run" not in arguments:
        arguments = (*arguments, "--yes")
    return run(*arguments)


def run(*arguments: Any) -> str:
    out = StringIO()
    call_command("import_prices", *map(str, arguments), stdout=out)
    return out.getvalue()


def save(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestCSV:
    def read(self, text: str) -> dict[str, Any]:
        return dict(read_csv(text.encode()).entries)

    def test_columns_are_prices_each_or_per_million(self) -> None:
        text = "model,prompt_per_1m,completion,web_search,name,context_length\nacme/a,0.04,0.00000008,0.01,Eh,4096\n"
        entry = self.read(text)["acme/a"]
        assert entry.raw == {"prompt": "0.00000004", "completion": "0.00000008", "web_search": "0.01"}
        assert entry.sheet.base[TokenClass.INPUT] * 10**6 == entry.sheet.base[TokenClass.OUTPUT] * 500_000
        assert entry.facts == {"name": "Eh", "context_length": 4096}

    def test_an_empty_cell_is_no_price_and_never_zero(self) -> None:
        entry = self.read("model,prompt,completion,input_cache_read\nacme/a,1,2,\n\n")["acme/a"]
        assert TokenClass.CACHE_READ not in entry.sheet.base
        with pytest.raises(SnapshotRefused, match="no 'completion'"):
            self.read("model,prompt,completion\nacme/a,1,\n")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "empty"),
            ("prompt,completion\n1,2\n", "name the columns"),
            ("model,prompt,completion\n", "no model at all"),
            ("model,prompt,price\nacme/a,1,2\n", "'price' that we do not know"),
            ("model,prompt,completion,request_per_1m\nacme/a,1,2,3\n", "'request_per_1m' that we do not know"),
            ("model,prompt,prompt_per_1m\nacme/a,1,2\n", "two columns for 'prompt'"),
            ("model,prompt,completion\nacme/a,1,2,3\n", "Line 2 has 4 cells"),
            ("model,prompt,completion\nacme,1,2\n", "Line 2"),
            ("model,prompt,completion\nacme/a,1,2\nacme/a,1,2\n", "acme/a twice"),
            ("model,prompt,completion,context_length\nacme/a,1,2,many\n", "context_length"),
            ('model,prompt,completion\n"acme/a,1,2\n', "Line"),
        ],
        ids=[
            "empty", "no model column", "no lines", "a strange column", "pieces per million", "a price twice",
            "too many cells", "no id", "a model twice", "no number", "an open quote",
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_refused_with_its_line(self, text: str, reason: str) -> None:
        with pytest.raises(SnapshotRefused, match=reason):
            self.read(text)

    @pytest.mark.parametrize("price", ["NaN", "Infinity", "1e999", "0,04", "0x1", "four"])
    def test_what_is_no_number_is_told_with_its_model(self, price: str) -> None:
        entry = self.read(f'model,prompt_per_1m,completion\nacme/a,"{price}",2\n')["acme/a"]
        assert price in entry.fault and not entry.is_negative

    def test_a_spreadsheet_saves_it_with_a_mark_in_front(self) -> None:
        assert read_price_file(b"\xef\xbb\xbfmodel,prompt,completion\r\nacme/a,1,2\r\n", name="T.CSV").listed == 1


class TestTheCommand:
    def test_it_replays_a_recorded_list(self, folder: Path) -> None:
        file = save(folder / "models.json", listing(item("maker/one"), item("maker/two")))
        text = import_prices("--file", file, "--at", "2026-06-25T00:00:00+00:00")
        assert "new      maker/one" in text and "     2  new" in text and "2026-06-25T00:00:00+00:00" in text
        assert {row.effective_from.date().isoformat() for row in CostPrice.objects.using("system").all()} == {
            "2026-06-25"
        }
        before = row_counts()
        assert "     2  unchanged" in import_prices("--file", file)
        assert row_counts() == before
        assert CostPrice.objects.using("system").first().origin == "file models.json"  # type: ignore[union-attr]

    def test_a_dry_run_shows_and_writes_nothing(self, folder: Path) -> None:
        import_prices("--file", save(folder / "a.json", listing(item("maker/one"), item("maker/two"))))
        before, feed = row_counts(), PriceFeed.objects.using("system").get()
        changed = listing(item("maker/one", PRICE | {"prompt": "0.000003"}), item("x/new"))
        text = import_prices("--file", save(folder / "b.json", changed), "--dry-run")
        assert "waits    maker/one: jump (input 0.000001 → 0.000003 (+200%)" in text
        assert "waits    maker/two: delisted" in text and "new      x/new" in text
        assert row_counts() == before
        assert PriceFeed.objects.using("system").get().tried_at == feed.tried_at

    @pytest.mark.parametrize("name", ["truncated", "nan", "duplicated id", "no completion"])
    def test_a_bad_one_fails_with_its_reason_and_changes_nothing(self, folder: Path, name: str) -> None:
        body, reason = BAD[name]
        with pytest.raises(CommandError, match="Not imported; the prices stay as they were") as fault:
            import_prices("--file", save(folder / "bad.json", body))
        assert reason in str(fault.value)
        assert not CostPrice.objects.using("system").exists()
        assert PriceFeed.objects.using("system").get().outcome == "refused"

    def test_a_hundred_megabytes_are_refused(self, folder: Path) -> None:
        file = folder / "huge.json"
        with file.open("wb") as opened:
            opened.truncate(100 * 2**20)
        with pytest.raises(CommandError, match="longer than 64 MB"):
            import_prices("--file", file)

    def test_another_table_has_prices_of_its_own(self, folder: Path) -> None:
        stories.make_model("maker/one", now=timezone.now(), pricing=PRICE)
        file = save(
            folder / "own.csv", "model,prompt_per_1m,completion_per_1m\nmaker/one,0.5,0.5\nacme/own,0.04,0.04\n"
        )
        import_prices("--file", file, "--table", "self-hosted", "--yes")
        rows = CostPrice.objects.using("system").filter(cost_table__slug="self-hosted")
        assert {row.language_model.slug for row in rows} == {"maker/one", "acme/own"}
        tables = dict(LanguageModel.objects.using("system").values_list("slug", "cost_table__slug"))
        assert tables == {"maker/one": "openrouter", "acme/own": "self-hosted"}

    def test_what_is_in_doubt_waits_unless_approved_along(self, folder: Path) -> None:
        import_prices("--file", save(folder / "a.json", listing(item("maker/one"))))
        dearer = save(folder / "b.json", listing(item("maker/one", PRICE | {"prompt": "0.00001"})))
        assert "     1  wait for a decision" in import_prices("--file", dearer)
        assert len(sheets_of("maker/one")) == 1
        assert "     1  approved with the list" in import_prices("--file", dearer, "--approve-quarantined")
        assert len(sheets_of("maker/one")) == 2
        assert QuarantinedPrice.objects.using("system").get().status == "approved"

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--file", "/nowhere/at/all.json"], "cannot be read"),
            (["--file", "/dev/null", "--table", "nobody"], "There are: self-hosted"),
            (["--table", "self-hosted"], "--file only"),
            (["--approve-quarantined"], "--file only"),
            ([], "PRICE_FEED_URL is empty"),
        ],
        ids=["no file", "no such table", "a table without file", "approval without file", "no feed"],
    )
    def test_what_cannot_be_done_is_told(self, folder: Path, arguments: list[str], reason: str, settings: Any) -> None:
        settings.PRICE_FEED_URL = ""
        with pytest.raises(CommandError, match=reason):
            import_prices(*arguments)

    def test_a_person_is_asked_first(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = save(folder / "a.json", listing(item("maker/one")))
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda _question: "n")
        with pytest.raises(CommandError, match="Not imported"):
            run("--file", file)
        assert not CostPrice.objects.using("system").exists()
        monkeypatch.setattr("builtins.input", lambda _question: "y")
        run("--file", file)
        assert CostPrice.objects.using("system").count() == 1

    def test_nobody_to_ask_is_no_yes(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = save(folder / "a.json", listing(item("maker/one")))
        monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
        with pytest.raises(CommandError, match="give --yes"):
            run("--file", file)
        assert not CostPrice.objects.using("system").exists()
        assert "new      maker/one" in run("--file", file, "--dry-run")
        run("--file", file, "--yes")
        assert CostPrice.objects.using("system").count() == 1

    def test_a_first_price_is_shown_per_million(self, folder: Path) -> None:
        file = save(folder / "own.csv", "model,prompt_per_1m,completion_per_1m,web_search\nacme/own,0.5,2,0.01\n")
        text = import_prices("--file", file, "--dry-run")
        assert "acme/own: input $0.5 / 1M, output $2 / 1M, searches $0.01 each" in text

    @pytest.mark.parametrize("price", ["0.5,0.6", "0.000000000005,0.000000000006"], ids=["times", "divided by"])
    def test_a_first_price_that_is_a_million_times_wrong_waits(self, folder: Path, price: str) -> None:
        file = save(folder / "own.csv", f"model,prompt,completion\nacme/own,{price}\n")
        text = import_prices("--file", file, "--table", "self-hosted")
        assert "waits    acme/own: implausible (input $" in text
        assert not CostPrice.objects.using("system").exists()
        assert QuarantinedPrice.objects.using("system").get().doubt == "implausible"
        import_prices("--file", file, "--table", "self-hosted", "--approve-quarantined")
        assert CostPrice.objects.using("system").get().language_model.slug == "acme/own"

    def test_a_first_price_is_compared_with_what_its_table_usually_costs(self, folder: Path) -> None:
        models = [item(f"maker/cheap-{number}") for number in range(5)]
        import_prices("--file", save(folder / "a.json", listing(*models)))
        fitting, dear = (
            item(f"maker/{name}", PRICE | {"prompt": cost}) for name, cost in (("fits", "0.0009"), ("dear", "0.00099"))
        )
        dear["pricing"]["completion"] = "0.0009999"
        text = import_prices("--file", save(folder / "b.json", listing(*models, fitting)))
        assert "new      maker/fits" in text
        cheaper = [
            item(f"maker/nano-{number}", {"prompt": "0.0000001", "completion": "0.0000002"}) for number in range(9)
        ]
        import_prices("--file", save(folder / "c.json", listing(*models, fitting, *cheaper)))
        text = import_prices("--file", save(folder / "d.json", listing(*models, fitting, *cheaper, dear)))
        assert "waits    maker/dear: implausible" in text


def test_an_unchanged_list_of_nine_hundred_models_is_soon_done(db: None) -> None:
    stories.forget_what_processes_remember()
    body = listing(*(item(f"maker/model-{number}") for number in range(900)))
    from tests.catalog.feeds import import_body

    import_body(body, now=stories.NOON)
    before = row_counts()
    began = timezone.now()
    import_body(body, now=stories.NOON + timedelta(hours=1))
    assert timezone.now() - began < timedelta(seconds=5), "five, because tests run beside each other"
    assert row_counts() == before
    assert json.loads(body)["data"]
