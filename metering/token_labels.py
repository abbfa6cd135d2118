"""What people read where tokens are counted, on the site and in the console alike. (Documents have words of their own.)"""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from pricing.tokens import TokenClass

TOKEN_CLASSES: Mapping[TokenClass, Promise] = {
    TokenClass.INPUT: _("Input tokens"),
    TokenClass.CACHE_READ: _("Cached tokens"),
    TokenClass.CACHE_WRITE: _("Cache writes"),
    TokenClass.CACHE_WRITE_1H: _("Cache writes (1 hour)"),
    TokenClass.OUTPUT: _("Output tokens"),
    TokenClass.REASONING: _("Reasoning tokens"),
    TokenClass.AUDIO_INPUT: _("Audio input tokens"),
    TokenClass.AUDIO_CACHE_READ: _("Cached audio tokens"),
    TokenClass.AUDIO_OUTPUT: _("Audio output tokens"),
    TokenClass.IMAGE_INPUT: _("Image input tokens"),
    TokenClass.IMAGE_OUTPUT: _("Image output tokens"),
    TokenClass.IMAGES: _("Images"),
    TokenClass.SEARCHES: _("Web searches"),
    TokenClass.REQUESTS: _("Requests"),
}
