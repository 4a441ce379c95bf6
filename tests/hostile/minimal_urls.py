"""The URLs of a project that has nothing but the app."""

from django.urls import include, path

urlpatterns = [path("", include("imports.urls"))]
