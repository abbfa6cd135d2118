"""The `metering` app."""

from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"

    def ready(self) -> None:
        from catalog.first_prices import ask_for_waiting_usage
        from metering.waiting_models import oldest_waiting

        ask_for_waiting_usage(oldest_waiting)
