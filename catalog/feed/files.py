"""Read a price list out of a file: a recorded answer of OpenRouter's, or a table of an upstream's own as JSON or CSV.

A CSV's first line names the columns: `model`, then pricing keys as OpenRouter calls them (`prompt`, `completion`,
`input_cache_read` …), in USD per unit; a column whose name ends in `_per_1m` is in USD per million tokens. `name`, `provider`,
`context_length` and `max_completion_tokens` may stand beside them. An empty cell is no price, never 0.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from catalog.feed.facts import LARGEST_COUNT, LONGEST
from catalog.feed.fetching import MOST_BYTES
from catalog.feed.json_text import decode_json
from catalog.feed.reading import check_id, entry_of, read_models
from catalog.feed.snapshot import MOST_MODELS, FeedEntry, Snapshot, SnapshotRefused
from pricing.exact import parse_decimal
from pricing.openrouter_pricing import CLASS_OF_KEY
from pricing.plain_text import plain
from pricing.tokens import PIECE_CLASSES

PER_MILLION = "_per_1m"
TEXTS = ("name", "provider")
COUNTS = ("context_length", "max_completion_tokens")


def read_price_file(content: bytes, *, name: str) -> Snapshot:
    """The snapshot in a file called `name` (`.json` or `.csv`). Raises SnapshotRefused."""
    if len(content) > MOST_BYTES:
        raise SnapshotRefused(f"It is longer than {MOST_BYTES // (1024 * 1024)} MB.")
    if PurePath(name).suffix.lower() == ".csv":
        return read_csv(content)
    return read_models([decode_json(content)])


def read_csv(content: bytes) -> Snapshot:
    """The snapshot in a CSV file with a header. Raises SnapshotRefused, naming the line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SnapshotRefused("It is not text in UTF-8.") from None
    lines = csv.reader(io.StringIO(text), strict=True)
    entries: dict[str, FeedEntry] = {}
    try:
        columns = [column.strip() for column in next(lines, [])]
        _check_columns(columns)
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            entry = _entry(columns, cells, line=lines.line_num)
            if entry.slug in entries:
                raise SnapshotRefused(f"It lists {entry.slug} twice.")
            entries[entry.slug] = entry
            if len(entries) > MOST_MODELS:
                raise SnapshotRefused(f"It lists more than {MOST_MODELS:,} models.")
    except csv.Error as fault:
        raise SnapshotRefused(f"Line {lines.line_num}: {fault}.") from None
    if not entries:
        raise SnapshotRefused("It lists no model at all.")
    return Snapshot(entries=entries)


def _check_columns(columns: Sequence[str]) -> None:
    if not columns or columns == [""]:
        raise SnapshotRefused("It is empty.")
    if columns[0] != "model":
        raise SnapshotRefused("Its first line must name the columns, the first of them 'model'.")
    for column in columns[1:]:
        _key(column)
    keys = [_key(column) for column in columns]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise SnapshotRefused(f"It has two columns for {twice[0]!r}.")


def _key(column: str) -> str:
    """The pricing key or fact of a column."""
    key = column.removesuffix(PER_MILLION)
    token_class = CLASS_OF_KEY.get(key)
    is_known = key in ("model", *TEXTS, *COUNTS) if token_class is None else True
    if not is_known or (key != column and (token_class is None or token_class in PIECE_CLASSES)):
        raise SnapshotRefused(f"It has a column {column!r} that we do not know.")
    return key


def _entry(columns: Sequence[str], cells: Sequence[str], *, line: int) -> FeedEntry:
    if len(cells) != len(columns):
        raise SnapshotRefused(f"Line {line} has {len(cells)} cells; the first line names {len(columns)} columns.")
    values = {column: cell.strip() for column, cell in zip(columns, cells, strict=True) if cell.strip()}
    slug = values.get("model", "")
    try:
        check_id(slug)
        pricing = {
            _key(column): _per_unit(column, text) for column, text in values.items() if _key(column) in CLASS_OF_KEY
        }
        facts = _facts(values)
    except ValueError as fault:
        raise SnapshotRefused(f"Line {line} ({slug or 'no model'}): {fault}.") from None
    return entry_of(slug, pricing, facts)


def _per_unit(column: str, text: str) -> str:
    """The price of one unit as text. What is no number is left as it stands, to be judged as the feed's would be."""
    if not column.endswith(PER_MILLION):
        return text
    try:
        return plain(parse_decimal(text).scaleb(-6))
    except ValueError:
        return text


def _facts(values: Mapping[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {column: values[column][: LONGEST[column]] for column in TEXTS if column in values}
    for column in COUNTS:
        if column in values:
            if not values[column].isdecimal() or not 0 < int(values[column]) <= LARGEST_COUNT:
                raise ValueError(f"{column} is not a whole number")
            facts[column] = int(values[column])
    return facts
