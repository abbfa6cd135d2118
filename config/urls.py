"""The site's addresses: pages, REST, health."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.urls")),
]
