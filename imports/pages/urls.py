"""The URLs of the pages. `imports.urls` includes them in the namespace `imports`."""

from django.urls import path

from imports.job_commands import JOB_COMMANDS
from imports.pages import downloads, views

urlpatterns = [
    path("", views.show_imports, name="list"),
    path("imports/upload-options/", views.check_options, name="upload-options"),
    path("imports/seen/", views.mark_all_seen, name="mark-all-seen"),
    path("imports/<uuid:pk>/", views.show_import, name="detail"),
    path("imports/template.xlsx", downloads.download_template, name="template"),
    path("imports/<uuid:pk>/file/", downloads.download_original_file, name="file"),
    path(
        "imports/<uuid:pk>/failed-rows.xlsx",
        downloads.download_failed_rows_workbook,
        name="failed-rows-xlsx",
    ),
    path(
        "imports/<uuid:pk>/failed-rows.csv",
        downloads.download_failed_rows_csv,
        name="failed-rows-csv",
    ),
    path("imports/<uuid:pk>/chart/", views.show_chart, name="chart"),
    path("imports/<uuid:pk>/rows/", views.show_rows, name="rows"),
    path("imports/<uuid:pk>/mapping/", views.map_columns, name="mapping"),
    path("imports/<uuid:pk>/options/", views.change_options, name="options"),
    path(
        "imports/<uuid:pk>/kept-rows.xlsx",
        downloads.download_kept_rows_workbook,
        name="kept-rows-xlsx",
    ),
    path("imports/<uuid:pk>/kept-rows.csv", downloads.download_kept_rows_csv, name="kept-rows-csv"),
    path("imports/<uuid:pk>/history/", views.show_history, name="history"),
    path("imports/<uuid:pk>/undo/", views.undo_import_view, name="undo"),
    *(
        path(f"imports/<uuid:pk>/{name}/", views.give_command, {"name": name}, name=name.value)
        for name in JOB_COMMANDS
        if name not in views.COMMANDS_WITH_A_PAGE
    ),
    path("imports/<uuid:pk>/delete/", views.delete_contents_view, name="delete"),
]
