"""The gateway's process: Starlette under ASGI (`granian --interface asgi config.gateway_asgi:app`)."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from gateway.app import create_app  # noqa: E402  (Django must be set up before the gateway imports its models)

app = create_app()
