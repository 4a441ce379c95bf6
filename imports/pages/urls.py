"""The URLs of the pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from imports.pages import downloads, views

urlpatterns = [
    path("", views.show_imports, name="imports"),
    path("imports/<uuid:pk>/", views.show_import, name="import"),
    path("imports/template.xlsx", downloads.download_template, name="import-template"),
    path("imports/<uuid:pk>/file/", downloads.download_original_file, name="import-file"),
    path(
        "imports/<uuid:pk>/failed-rows.xlsx",
        downloads.download_failed_rows_workbook,
        name="import-failed-rows-xlsx",
    ),
    path(
        "imports/<uuid:pk>/failed-rows.csv",
        downloads.download_failed_rows_csv,
        name="import-failed-rows-csv",
    ),
    path("imports/<uuid:pk>/chart/", views.show_chart, name="import-chart"),
    path("imports/<uuid:pk>/rows/", views.show_rows, name="import-rows"),
    path("imports/<uuid:pk>/mapping/", views.map_columns, name="import-mapping"),
    path("imports/<uuid:pk>/options/", views.change_options, name="import-options"),
    path("imports/<uuid:pk>/start/", views.start_import_view, name="import-start"),
    path("imports/<uuid:pk>/cancel/", views.cancel_import_view, name="import-cancel"),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/password/", views.ChangePassword.as_view(), name="password"),
]
