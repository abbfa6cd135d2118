"""The providers whose models are in the catalogue, as lists to choose from name them."""

from catalog.models import LanguageModel


def provider_choices() -> list[tuple[str, str]]:
    """Slugs and names, by name; the slug tells those apart that are called the same: "Meta (meta-llama)"."""
    names = dict(LanguageModel.objects.order_by("pk").values_list("provider_slug", "provider"))
    titled = ((slug, name if name.lower() == slug else f"{name} ({slug})") for slug, name in names.items())
    return sorted(titled, key=lambda choice: choice[1].lower())
