"""How the site and the gateway look for garbage: rarely, and not among what it loaded at its start.

Python frees most objects by counting references; its collector looks only for cycles. Each 700 new objects set it off, and a batch
of pushed usage makes thousands that all live until their commit: it found nothing and took a third of the site's processor time.
What is large must therefore be in no cycle: an exception that is kept by a frame it was raised through keeps that frame's body.
"""

import gc

NEW_OBJECTS = 10_000
"""A hundred requests of the site leave as many in cycles of Django's; calls of the gateway leave fewer. Then the youngest are
looked at, older ones every tenth time."""


def collect_rarely() -> None:
    """Call it once, when the application is loaded: what is there now stays, so it is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 10, 10)
