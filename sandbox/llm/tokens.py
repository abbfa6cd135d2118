"""A tokenizer that needs no vocabulary: one token for every three bytes of UTF-8, rounded up.

A Hangul syllable is three bytes, so Korean counts one token a syllable. A prompt never counts more tokens than its
request has bytes, which is the worst case that a gateway reserves for.
"""

from typing import Any

import msgspec

BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIUM = 85

_encode = msgspec.json.encode


def count_text(text: str) -> int:
    return (len(text.encode(errors="surrogatepass")) + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN


def cut_text(text: str, *, tokens: int) -> str:
    """The longest beginning of `text` that counts at most `tokens`."""
    return text.encode(errors="surrogatepass")[: max(0, tokens) * BYTES_PER_TOKEN].decode(errors="ignore")


def count_json(value: Any) -> int:
    return (len(_encode(value)) + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN if value else 0


def count_content(content: Any) -> int:
    """Tokens of a message's content: a string, or a list of parts of which each medium costs the same."""
    if isinstance(content, str):
        return count_text(content)
    if not isinstance(content, list):
        return 0
    return sum(_count_part(part) for part in content)


def _count_part(part: Any) -> int:
    if isinstance(part, str):
        return count_text(part)
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return count_text(part["text"])
    return TOKENS_PER_MEDIUM if isinstance(part, dict) else 0


def count_message(message: Any) -> int:
    if not isinstance(message, dict):
        return TOKENS_PER_MESSAGE
    return TOKENS_PER_MESSAGE + count_content(message.get("content")) + count_json(message.get("tool_calls"))


def count_prompt(prompt: Any) -> int:
    """Tokens of a text completion's or an embedding's input: text, texts, token ids, or lists of token ids."""
    if isinstance(prompt, str):
        return count_text(prompt)
    if isinstance(prompt, list):
        return sum(1 if isinstance(item, int) else count_prompt(item) for item in prompt)
    return 0
