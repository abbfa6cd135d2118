"""What Koreans call providers and families of models, for the search of the price list: 클로드 finds Claude, 미스트랄 Mistral.

A word that is searched stands for itself and for the names that it is written for here, capitals and hyphens aside.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "claude": ("클로드", "끌로드"),
        "anthropic": ("앤트로픽", "앤쓰로픽", "엔트로픽", "안트로픽"),
        "opus": ("오퍼스", "오푸스"),
        "sonnet": ("소넷", "소네트"),
        "haiku": ("하이쿠",),
        "openai": ("오픈ai", "오픈에이아이", "오픈"),
        "gpt": ("지피티", "챗지피티", "chatgpt", "챗gpt"),
        "google": ("구글",),
        "gemini": ("제미나이", "제미니"),
        "gemma": ("젬마",),
        "flash": ("플래시", "플래쉬"),
        "mistral": ("미스트랄", "미스트럴"),
        "mixtral": ("믹스트랄",),
        "devstral": ("데브스트랄",),
        "codestral": ("코드스트랄",),
        "ministral": ("미니스트랄",),
        "meta": ("메타",),
        "llama": ("라마",),
        "deepseek": ("딥시크", "딥씨크"),
        "qwen": ("큐원", "퀜", "큐웬", "알리바바"),
        "x-ai": ("엑스에이아이", "xai"),
        "grok": ("그록",),
        "moonshotai": ("문샷",),
        "kimi": ("키미",),
        "cohere": ("코히어",),
        "command": ("커맨드",),
        "amazon": ("아마존",),
        "nova": ("노바",),
        "microsoft": ("마이크로소프트",),
        "phi": ("파이",),
        "nvidia": ("엔비디아",),
        "nemotron": ("네모트론",),
        "perplexity": ("퍼플렉시티",),
        "sonar": ("소나",),
        "upstage": ("업스테이지",),
        "solar": ("솔라",),
        "minimax": ("미니맥스",),
        "z-ai": ("지푸", "즈푸"),
        "bytedance": ("바이트댄스",),
        "baidu": ("바이두",),
        "tencent": ("텐센트",),
        "ibm": ("아이비엠",),
        "granite": ("그라나이트",),
    }
)
"""By the name that the list has."""

_BY_WORD: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {word: tuple(name for name, words in NAMES.items() if word in words) for words in NAMES.values() for word in words}
)


def names_of(word: str) -> tuple[str, ...]:
    """What to look for when somebody searches `word`: itself, and the names that it is a Korean word for."""
    return (word, *_BY_WORD.get(word.lower().replace("-", ""), ()))


def finder(search: str) -> Callable[[Iterable[str]], bool]:
    """Whether texts have each word of `search`, or a name that it is a Korean word for, in one of them; capitals aside."""
    wanted = [tuple(name.casefold() for name in names_of(word)) for word in search.split()]

    def finds(texts: Iterable[str]) -> bool:
        folded = [text.casefold() for text in texts]
        return all(any(name in text for name in names for text in folded) for names in wanted)

    return finds
