"""File downloads of the pages, in the user's language."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from imports import downloads, error_messages, permissions
from imports.history import Actor
from imports.importer import get_importer, is_registered
from imports.inline import NoFreeSlot
from imports.models import ImportJob
from imports.pages.presenters import get_actor
from imports.pipeline.failed_rows import NoFailedRows
from imports.retention import ContentsDeleted
from imports.storage import StoredFileNotFound
from imports.workbooks import WorkbooksNotSupported


@never_cache
@login_required
@require_safe
def download_original_file(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    return _send_file(request, pk, downloads.send_original_file)


@never_cache
@login_required
@require_safe
def download_failed_rows_workbook(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    return _send_file(request, pk, downloads.send_failed_rows_workbook)


@never_cache
@login_required
@require_safe
def download_failed_rows_csv(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    return _send_file(request, pk, downloads.send_failed_rows_csv)


@never_cache
@login_required
@require_safe
def download_kept_rows_workbook(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    return _send_file(request, pk, downloads.send_kept_rows_workbook)


@never_cache
@login_required
@require_safe
def download_kept_rows_csv(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    return _send_file(request, pk, downloads.send_kept_rows_csv)


@never_cache
@login_required
@require_safe
def download_template(request: HttpRequest) -> HttpResponseBase:
    """Send an empty workbook for `?importer=`, or for the only importer."""
    if not permissions.can_import(request.user):
        raise PermissionDenied
    names = [importer.name for importer in permissions.list_permitted_importers(request.user)]
    name = request.GET.get("importer", names[0] if len(names) == 1 else "")
    if not is_registered(name):
        raise Http404
    permissions.check_any_policy(request.user, get_importer(name))
    try:
        return downloads.send_template(get_importer(name))
    except WorkbooksNotSupported:
        messages.warning(request, _("This site cannot create Excel workbooks."))
        return redirect("imports:list")


def _send_file(
    request: HttpRequest, pk: UUID, download: Callable[[ImportJob, Actor | None], HttpResponseBase]
) -> HttpResponseBase:
    """Send the file, or redirect to the page of the import with a message why there is none."""
    job = get_object_or_404(permissions.get_visible_imports(request.user), pk=pk)
    if not permissions.can_download(request.user, job):
        messages.warning(
            request,
            _(
                "This file holds columns that you may not see. Ask an administrator for "
                "permission to view sensitive columns."
            ),
        )
        return redirect("imports:detail", job.pk)
    try:
        return download(job, None if request.method == "HEAD" else get_actor(request))
    except ContentsDeleted:
        messages.warning(request, error_messages.CONTENTS_DELETED)
    except StoredFileNotFound:
        messages.warning(request, _("The uploaded file is no longer available."))
    except NoFailedRows:
        messages.warning(request, _("There are no such rows, or they are no longer available."))
    except WorkbooksNotSupported:
        messages.warning(
            request, _("This site cannot create Excel workbooks. Download the CSV file instead.")
        )
    except NoFreeSlot:
        messages.warning(
            request,
            _("Too many reports are being created at the moment. Try again in a few seconds."),
        )
    return redirect("imports:detail", job.pk)
