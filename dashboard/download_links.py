"""Where the requests of a page are to be had as a file."""

from typing import Any

from django.urls import reverse

from dashboard.time_ranges import address

FORMAT_NAMES = (("csv", "CSV"), ("ndjson", "NDJSON"), ("parquet", "Parquet"))


def download_links(name: str, *place: Any, **parameters: str) -> list[tuple[str, str]]:
    """The name of each format and the address of the file, by the route `name`; `parameters` say of what."""
    path = reverse(f"dashboard:{name}", args=place)
    return [(label, path + address(**parameters, format=format_name)) for format_name, label in FORMAT_NAMES]
