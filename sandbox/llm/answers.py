"""What the stand-in says: short Korean or English texts chosen by the request, and tool calls when they are wanted."""

import hashlib
import re
import zlib
from typing import Any

import msgspec

from sandbox.llm import schemas

_KOREAN = (
    "네, 말씀하신 내용을 확인했습니다. 먼저 저장소의 구조를 살펴보고 필요한 파일부터 차례로 고치겠습니다.",
    "좋은 질문입니다. 요점은 세 가지입니다. 입력을 검증하고, 한 번만 기록하고, 결과를 다시 확인하는 것입니다.",
    "요청하신 작업은 작은 단계로 나누면 쉽습니다. 우선 실패하는 테스트를 하나 작성해 보시기 바랍니다.",
    "코드를 검토한 결과 큰 문제는 없습니다. 다만 오류 처리를 한 곳에 모으면 읽기가 더 편해집니다.",
    "이 함수는 목록을 한 번만 훑으므로 시간 복잡도는 선형입니다. 더 줄일 필요는 없어 보입니다.",
)
_ENGLISH = (
    "Sure. I would look at the repository's structure first and then change the files one at a time.",
    "Good question. Three things matter here: validate the input, record it once, and check the result again.",
    "That task gets easier in small steps. Start with one failing test and make it pass.",
    "I have read the code and found nothing serious. Gathering the error handling in one place would help the reader.",
    "The function walks the list once, so it is linear in time, and there is little left to gain.",
)
_HINTS = ("도구", "함수", "호출", "tool", "function")
_MEANINGS = {"날씨": "weather", "검색": "search", "계산": "calculate", "시각": "time", "파일": "file", "메일": "mail"}
_DESCRIBING = r"[a-z]{5,}|[가-힣]{2,}"
_COMMON_WORDS = {"about", "after", "current", "given", "there", "these", "which", "where", "would"}


def is_korean(text: str) -> bool:
    return any("가" <= letter <= "힣" for letter in text)


def text_of(content: Any) -> str:
    """The readable text of a message's content, whether it is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("text"))
    return ""


def reply_to(text: str, *, variant: int = 0, words: int = 0) -> str:
    """The same answer to the same text every time; `words` asks for at least that many (for long streams)."""
    korean = is_korean(text)
    if "안녕" in text and len(text) < 20:
        answer = "안녕하세요! 무엇을 도와드릴까요?"
    elif re.match(r"\s*(hi|hello)\b", text, re.IGNORECASE) and len(text) < 20:
        answer = "Hello! How can I help you today?"
    else:
        choices = _KOREAN if korean else _ENGLISH
        answer = choices[(zlib.crc32(text.encode(errors="surrogatepass")) + variant) % len(choices)]
    position = variant
    while answer.count(" ") + 1 < words:
        position += 1
        answer += " " + (_KOREAN if korean else _ENGLISH)[position % len(_KOREAN)]
    return answer


def reply_in_json(response_format: dict[str, Any], *, text: str) -> str | None:
    """The JSON that `response_format` demands, or None when it demands none."""
    if response_format.get("type") == "json_schema":
        schema = (response_format.get("json_schema") or {}).get("schema") or {}
        return _as_json(schemas.sample(schema, korean=is_korean(text)))
    if response_format.get("type") == "json_object":
        return _as_json({"answer": reply_to(text), "language": "ko" if is_korean(text) else "en"})
    return None


def reply_after_tool(result: str, *, korean: bool) -> str:
    shown = result[:80]
    return f"도구의 결과를 확인했습니다: {shown}" if korean else f"The tool answered: {shown}"


def wanted_function(body: dict[str, Any], *, text: str) -> dict[str, Any] | None:
    """The function to call: the one `tool_choice` names, the first when one is required, or one the text hints at."""
    functions: list[dict[str, Any]] = [tool["function"] for tool in body.get("tools") or [] if _is_function(tool)]
    choice = body.get("tool_choice", "auto")
    if not functions or choice == "none":
        return None
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return next((function for function in functions if function["name"] == name), None)
    if choice in ("required", "any"):
        return functions[0]
    lowered = " ".join([text.lower(), *(english for word, english in _MEANINGS.items() if word in text)])
    hinted = next((function for function in functions if _is_hinted(function, lowered)), None)
    return hinted or (functions[0] if any(hint in lowered for hint in _HINTS) else None)


def _is_function(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("function"), dict) and bool(tool["function"].get("name"))


def _is_hinted(function: dict[str, Any], lowered: str) -> bool:
    if function["name"].lower() in lowered:
        return True
    words = set(re.findall(_DESCRIBING, f"{function['name']} {function.get('description', '')}".lower()))
    words -= _COMMON_WORDS
    return any(word in lowered for word in words)


def call_arguments(function: dict[str, Any], *, text: str) -> str:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    value = schemas.sample(schema, korean=is_korean(text))
    return _as_json(value if isinstance(value, dict) else {})


def _as_json(value: Any) -> str:
    return str(msgspec.json.encode(value), "utf-8")


def call_id(generation_id: str, position: int) -> str:
    """Nine letters and digits, as Mistral writes them, different for every generation."""
    return hashlib.sha256(f"{generation_id}/{position}".encode()).hexdigest()[:9]
