"""Addresses of the site's pages. Public ones first, then those of an organization under /o/<slug>."""

from django.urls import path
from django.views.generic import RedirectView

from dashboard import (
    home,
    invoices,
    keys,
    legal,
    members,
    model_list,
    model_page,
    overview,
    preferences,
    requests,
    start,
    usage,
    waiting,
)

app_name = "dashboard"

urlpatterns = [
    path("", home.home, name="home"),
    path("models", model_list.model_list, name="models"),
    path("models/<str:page_slug>", model_page.model_page, name="model"),
    path("models/<path:model_id>", model_page.model_by_id, name="model_by_id"),
    path("legal/terms", legal.terms, name="terms"),
    path("legal/privacy", legal.privacy, name="privacy"),
    path("dashboard", start.start, name="start"),
    path("welcome", start.welcome, name="welcome"),
    path("o/<slug:slug>", RedirectView.as_view(pattern_name="dashboard:overview", query_string=True)),
    path("o/<slug:slug>/", overview.overview, name="overview"),
    path("o/<slug:slug>/first-request", start.first_request, name="first_request"),
    path("o/<slug:slug>/usage", usage.usage, name="usage"),
    path("o/<slug:slug>/requests", requests.request_list, name="requests"),
    path("o/<slug:slug>/requests/<uuid:event_id>", requests.receipt, name="receipt"),
    path("o/<slug:slug>/waiting", waiting.unrated, name="unrated"),
    path("o/<slug:slug>/holds", waiting.holds, name="holds"),
    path("o/<slug:slug>/keys", keys.key_list, name="keys"),
    path("o/<slug:slug>/keys/new", keys.new_key, name="new_key"),
    path("o/<slug:slug>/keys/<int:key_id>/revoke", keys.revoke_key, name="revoke_key"),
    path("o/<slug:slug>/invoices", invoices.invoices, name="invoices"),
    path("o/<slug:slug>/members", members.members, name="members"),
    path("o/<slug:slug>/settings", preferences.organization_settings, name="settings"),
    path("o/<slug:slug>/settings/profile", preferences.own_settings, name="profile"),
]
