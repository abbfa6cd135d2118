"""The `metering` app."""

from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"
