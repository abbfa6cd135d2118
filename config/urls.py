"""The site's addresses: pages, sign-in, REST, health."""

from django.urls import include, path

from billing.payments.webhook_views import receive_stripe
from config import health
from dashboard.languages import set_language

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("language", set_language, name="set_language"),
    path("api/", include("config.api_urls")),
    path("webhooks/stripe", receive_stripe, name="stripe-webhook"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", include("dashboard.urls")),
]

handler400 = "dashboard.errors.bad_request"
handler403 = "dashboard.errors.permission_denied"
handler404 = "dashboard.errors.page_not_found"
handler500 = "dashboard.errors.server_error"
