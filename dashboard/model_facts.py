"""What a model can do, in words: badges from its modalities, features from the parameters that it supports.

Facts come from the upstream's listing; what is not known there is left out here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from catalog.models import LanguageModel


@dataclass(frozen=True, slots=True)
class Fact:
    """An icon of static/img/icons.svg and what it stands for."""

    icon: str
    label: Promise


@dataclass(frozen=True, slots=True)
class Modality:
    """A choice of the list's filter: models that take (or give) this kind of content."""

    value: str
    label: Promise
    icon: str
    given: bool = False


MODALITIES = (
    Modality("image", _("Vision"), "image"),
    Modality("audio", _("Audio"), "mic"),
    Modality("video", _("Video"), "video"),
    Modality("file", _("Files"), "docs"),
    Modality("image-output", _("Image output"), "image", given=True),
    Modality("audio-output", _("Audio output"), "mic", given=True),
    Modality("embeddings-output", _("Embeddings"), "list", given=True),
)

FEATURES: tuple[tuple[frozenset[str], Fact], ...] = (
    (frozenset({"tools", "tool_choice", "parallel_tool_calls"}), Fact("bolt", _("Function calling"))),
    (frozenset({"structured_outputs"}), Fact("list", _("Structured output"))),
    (frozenset({"response_format"}), Fact("code", _("JSON mode"))),
    (frozenset({"reasoning", "include_reasoning", "reasoning_effort"}), Fact("thought", _("Reasoning"))),
    (frozenset({"web_search_options"}), Fact("search", _("Web search"))),
    (frozenset({"temperature"}), Fact("temperature", _("Temperature"))),
    (frozenset({"max_tokens", "max_completion_tokens"}), Fact("ruler", _("Max tokens"))),
    (frozenset({"top_p"}), Fact("sliders", _("Top P"))),
    (frozenset({"top_k"}), Fact("sliders", _("Top K"))),
    (frozenset({"min_p"}), Fact("sliders", _("Min P"))),
    (frozenset({"frequency_penalty"}), Fact("sliders", _("Frequency penalty"))),
    (frozenset({"presence_penalty"}), Fact("sliders", _("Presence penalty"))),
    (frozenset({"repetition_penalty"}), Fact("sliders", _("Repetition penalty"))),
    (frozenset({"stop"}), Fact("stop", _("Stop sequences"))),
    (frozenset({"seed"}), Fact("refresh", _("Seed"))),
    (frozenset({"logprobs", "top_logprobs"}), Fact("usage", _("Log probabilities"))),
    (frozenset({"logit_bias"}), Fact("sliders", _("Logit bias"))),
)


def modalities_of(model: LanguageModel) -> list[Modality]:
    """What goes in and comes out besides text."""
    return [modality for modality in MODALITIES if handles(model, modality)]


def handles(model: LanguageModel, modality: Modality) -> bool:
    content = modality.value.removesuffix("-output")
    return content in (model.output_modalities if modality.given else model.input_modalities)


def embeds(model: LanguageModel) -> bool:
    """Whether it is called at /embeddings."""
    return "embeddings" in model.output_modalities


def features_of(model: LanguageModel) -> list[Fact]:
    """What the model's supported parameters mean, the most asked for first."""
    supported = frozenset(model.supported_parameters)
    return [fact for parameters, fact in FEATURES if parameters & supported]


def other_parameters(model: LanguageModel) -> Sequence[str]:
    """Supported parameters that have no name of their own here; shown as the API calls them."""
    named = frozenset().union(*(parameters for parameters, _fact in FEATURES))
    return sorted(set(model.supported_parameters) - named)
