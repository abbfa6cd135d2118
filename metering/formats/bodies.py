"""The body of a push as it was before it was compressed, bounded: a small gzip may hold gigabytes."""

import gzip
import io
import zlib

from metering.pushed_events import MalformedBatch

ENCODINGS = frozenset({"", "identity"})


class UnknownEncoding(ValueError):
    """A Content-Encoding that is neither gzip nor none."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"Content-Encoding {encoding[:50]!r} is not known here: send gzip, or the body as it is")


class BodyTooLarge(ValueError):
    """Decompressed, the body is more than `at_most` bytes."""

    def __init__(self, at_most: int) -> None:
        super().__init__(f"a body may have {at_most:,} bytes once it is decompressed: send smaller batches")


def plain_body(body: bytes, *, encoding: str, at_most: int) -> bytes:
    """`body` decompressed, never reading further than `at_most` bytes. Raises UnknownEncoding, BodyTooLarge, MalformedBatch."""
    encoding = encoding.strip().lower()
    if encoding in ENCODINGS:
        return body
    if encoding != "gzip":
        raise UnknownEncoding(encoding)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            plain = stream.read(at_most + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise MalformedBatch(f"the body is not readable gzip: {fault}") from None
    if len(plain) > at_most:
        raise BodyTooLarge(at_most)
    return plain
