"""The addresses of the pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from imports.pages import downloads, views

urlpatterns = [
    path("", views.imports, name="imports"),
    path("imports/<uuid:pk>/", views.show, name="import"),
    path("imports/template.xlsx", downloads.template, name="import-template"),
    path("imports/<uuid:pk>/file/", downloads.original, name="import-file"),
    path(
        "imports/<uuid:pk>/rejected.xlsx", downloads.rejected_workbook, name="import-rejected-xlsx"
    ),
    path("imports/<uuid:pk>/rejected.csv", downloads.rejected_text, name="import-rejected-csv"),
    path("imports/<uuid:pk>/chart/", views.chart, name="import-chart"),
    path("imports/<uuid:pk>/rows/", views.rows, name="import-rows"),
    path("imports/<uuid:pk>/mapping/", views.map_columns, name="import-mapping"),
    path("imports/<uuid:pk>/start/", views.start, name="import-start"),
    path("imports/<uuid:pk>/cancel/", views.cancel, name="import-cancel"),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/password/", views.ChangePassword.as_view(), name="password"),
]
