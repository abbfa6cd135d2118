"""What somebody with the developer tools open would notice on any page: errors, strangers, a wrong language, a page too wide."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from urllib.parse import urljoin, urlsplit

from babel.messages import pofile
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Frame, Page, Request, Response, WebError

from config.launch.places import CHECKOUT
from demo.cast import COMPANIES, OPERATOR
from demo.closing import seller
from demo.own_words import WRITTEN

PHONE, DESK = 390, 1440
HEIGHT = 900
PATIENCE_MS = 90_000
"""A machine that does much else draws slowly, too."""
HANGUL = re.compile("[ㄱ-ㆎ가-힣]")
LOCALES = {"ko": "ko-KR", "en": "en-US"}

TEXTS = """() => {
  const icons = '.material-symbols-outlined', others = 'form[action*="language"] button, .mails .subject, .mails .people';
  const skipped = `script, style, template, ${icons}, ${others}`;
  const lang = document.documentElement.lang, texts = [document.title];
  const foreign = element => { const own = element.closest('[lang]'); return own && own.lang !== lang };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!parent.closest(skipped) && !foreign(parent)) texts.push(walker.currentNode.data);
  }
  for (const element of document.body.querySelectorAll('*'))
    for (const name of ['aria-label', 'title', 'placeholder', 'alt', 'data-label'])
      if (element.hasAttribute(name) && !foreign(element)) texts.push(element.getAttribute(name));
  return texts.map(text => text.trim().replace(/\\s+/g, ' ')).filter(Boolean);
}"""
"""All that a frame says, to eyes and to screen readers. Not: what is marked as another language, nor what mails a mailbox lists."""

TOO_WIDE = """() => document.documentElement.scrollWidth <= window.innerWidth ? [] :
  [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > window.innerWidth + 0.5)
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120))"""

LIGHTNESS = """() => {
  for (const element of [document.body, document.documentElement]) {
    const [red, green, blue, alpha = 1] = getComputedStyle(element).backgroundColor.match(/[\\d.]+/g).map(Number);
    if (alpha > 0.5) return (red + green + blue) / 765;
  }
  return 1;
}"""

OUR_LINKS = "() => [...document.querySelectorAll('a[href]:not([download])')].map(a => a.href.split('#')[0])"
NO_PAGES = re.compile(r"/(api/v1|api/schema|static|documents|logout|sign-out)\b|\.pdf$")
IDS = re.compile(r"(?<=/)(?:[0-9a-f-]{36}|\d+|(?:acme|globex)(?=/.)|(?<=models/)[^/]+)(?=/|$)")


class Visitor:
    """Somebody's browser, every page and request of which is watched."""

    def __init__(self, browser: Browser, *, language: str, dark: bool = False) -> None:
        self.language, self.dark = language, dark
        self.problems: list[str] = []
        self.context = browser.new_context(
            locale=LOCALES[language],
            color_scheme="dark" if dark else "light",
            viewport={"width": DESK, "height": HEIGHT},
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self._watch(self.context)
        self.page = self.context.new_page()

    def turn(self, *, dark: bool) -> None:
        """Let the visitor's system be dark or light; some pages ask for it only when they are loaded."""
        self.dark = dark
        self.page.emulate_media(color_scheme="dark" if dark else "light")

    def open(self, url: str) -> Page:
        self.page.goto(urljoin(self.page.url, url))
        self.look()
        return self.page

    def look(self) -> None:
        """Everything that is true of any page, with all frames in it."""
        self.page.wait_for_load_state()
        for frame in self.page.frames:
            quoted = frame.url == "about:srcdoc"  # a mail, in its reader's language
            language = frame.evaluate("document.documentElement.lang") if quoted else self.language
            self.problems += [f"{frame.url}: {problem}" for problem in _language_problems(frame, language)]
        assert not self.problems, "\n".join(self.problems)

    def look_on_phone_and_desk(self) -> None:
        """Nothing stands out at the right, and the page is as dark as the visitor's system."""
        paper = self.page.evaluate(LIGHTNESS)
        if (paper < 0.5) != self.dark:
            self.problems.append(f"{self.page.url}: its paper has lightness {paper:.2f}")
        for width in (PHONE, DESK):
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            if wide := self.page.evaluate(TOO_WIDE):
                self.problems.append(f"{self.page.url}: wider than {width} px: {wide}")
        assert not self.problems, "\n".join(self.problems)

    def walk(self, start: str, *, seen: set[str]) -> int:
        """Look at every page that links lead to from `start` on the same host, one of each kind; how many they were."""
        count, waiting = 0, [start]
        while waiting:
            url = waiting.pop(0)
            kind = IDS.sub("*", url.partition("?")[0])
            if kind in seen or NO_PAGES.search(kind):
                continue
            seen.add(kind)
            count += 1
            self.open(url)
            self.look_on_phone_and_desk()
            links = self.page.evaluate(OUR_LINKS)
            waiting += [link for link in links if urlsplit(link).netloc == urlsplit(start).netloc]
        return count

    def _watch(self, context: BrowserContext) -> None:
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failure)
        context.on("response", self._on_response)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1":
            self.problems.append(f"a request leaves the machine: {request.url}")

    def _on_failure(self, request: Request) -> None:
        # What was under way when the page was left, and what became a download, is not a failure.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"{request.method} {request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.request.method} {response.url}: {response.status}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.page and message.page.url}: console {message.type}: {message.text}")

    def _on_error(self, error: WebError) -> None:
        self.problems.append(f"{error.page and error.page.url}: {error.error}")


# -- languages ---------------------------------------------------------------------------------------------------------


def _language_problems(frame: Frame, language: str) -> Iterator[str]:
    spoken = frame.evaluate("document.documentElement.lang")
    if spoken != language:
        yield f"the page says it is in {spoken!r}, not {language!r}"
    for text in sorted(set(frame.evaluate(TEXTS))):
        if language == "en" and HANGUL.search(_without_names(text)):
            yield f"Korean in an English page: {text!r}"
        if language == "ko" and text in TRANSLATED:
            yield f"not translated: {text!r}"


def _without_names(text: str) -> str:
    """What the product itself says: names and addresses are the same in any language, and what people wrote stays as it is."""
    for name in NAMES:
        text = text.replace(name, "")
    return "" if text in INITIALS else text


def _korean_texts(thing: object) -> Iterator[str]:
    if isinstance(thing, str):
        yield from [thing] if HANGUL.search(thing) else []
    elif isinstance(thing, Mapping):
        yield from _korean_texts(tuple(thing.values()))
    elif isinstance(thing, tuple):
        for part in thing:
            yield from _korean_texts(part)


def _translated() -> Iterator[str]:
    """English texts that the catalog has Korean for: none of them may stand on a Korean page as it is."""
    with open(CHECKOUT / "locale/ko/LC_MESSAGES/django.po", "rb") as file:
        for message in pofile.read_po(file):
            if isinstance(message.id, str) and HANGUL.search(str(message.string)):
                yield message.id


NAMES = sorted(
    set(_korean_texts((*map(asdict, (*COMPANIES, OPERATOR)), seller(), settings.SELLER, WRITTEN))),
    key=len,
    reverse=True,
)
INITIALS = frozenset(name[0] for name in NAMES)
TRANSLATED = frozenset(_translated()) - {"English", "all", "Demo"}
"""Without the language's own name, the audit log's word for a rule that holds for all, and the name of the demo's service key."""
