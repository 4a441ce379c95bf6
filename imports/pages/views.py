"""The pages. Each reads what its reader may see and shows it; deciding is done elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages as notes
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import PasswordChangeView
from django.contrib.messages.views import SuccessMessageMixin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from imports import lifecycle, permissions
from imports.importer import list_importers
from imports.models import ImportJob, TransitionNotAllowed
from imports.pages.column_mapping import ChosenTwice, chosen, mapping_shown, problem_with
from imports.pages.failed_rows import problems_shown, rows_shown
from imports.pages.forms import FilterForm, UploadForm, choices_of
from imports.pages.presenters import ACTIVE, described, failure_of, import_shown, list_words
from imports.pages.preview import preview_shown
from imports.pages.read_options import OptionsForm, options_offered
from imports.pages.read_summary import understood
from imports.pages.speed_chart import chart_of
from imports.pipeline.column_mapping import InvalidMapping
from imports.statuses import Status

IMPORTS_A_PAGE = 20


@never_cache
@login_required
def imports(request: HttpRequest) -> HttpResponse:
    """The reader's imports, and a form to add some."""
    can_import = permissions.can_import(request.user)
    corrected = corrected_import(request)
    form = UploadForm(initial=choices_of(corrected) if corrected else None)
    if request.method == "POST":
        if not can_import:
            raise PermissionDenied
        form = UploadForm(request.POST, request.FILES)
        if form.is_valid():
            return redirect(*upload_all(request, **form.cleaned_data))
    context = {
        "form": form if can_import else None,
        "corrected": corrected,
        "importers": [described(importer) for importer in list_importers()],
        "most_bytes": settings.IMPORT_MAX_UPLOAD_BYTES,
        "words": list_words(),
        **imports_found(request),
    }
    return render(request, "imports/imports.html", context, status=422 if form.errors else 200)


def corrected_import(request: HttpRequest) -> ImportJob | None:
    """The import whose refused rows are to be uploaded again, if the reader may see it."""
    try:
        pk = UUID(request.GET.get("corrects", ""))
    except ValueError:
        return None
    known = [importer.name for importer in list_importers()]
    return permissions.get_visible_imports(request.user).filter(pk=pk, importer__in=known).first()


def upload_all(request: HttpRequest, *, file: list[Any], **options: Any) -> tuple[Any, ...]:
    """Make an import of each file, and return where to look next."""
    jobs = [lifecycle.upload(request.user, one, **options) for one in file]
    if len(jobs) == 1:
        return "import", jobs[0].pk
    told = ngettext("%(n)s file is uploaded.", "%(n)s files are uploaded.", len(jobs))
    notes.success(request, told % {"n": len(jobs)})
    return ("imports",)


def imports_found(request: HttpRequest) -> dict[str, Any]:
    visible = permissions.get_visible_imports(request.user).select_related("owner")
    visible = visible.defer(*ImportJob.LARGE_FIELDS)
    asked = FilterForm(request.GET)
    page = page_of(request, asked.found_in(visible, request.user.pk), IMPORTS_A_PAGE)
    filters = {name: value for name, value in asked.cleaned_data.items() if value}
    return {
        "filter": asked,
        "is_filtered": bool(filters),
        "can_view_all": permissions.can_view_all(request.user),
        "query": f"{urlencode(filters)}&" if filters else "",
        "page": page,
        "listed": [(job, failure_of(job)) for job in page],
        "any_moving": any(job.status in ACTIVE for job in page),
    }


@never_cache
@login_required
@require_safe
def show(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One import: how far it is, what it would do or did, and why rows were refused."""
    return show_import(request, visible_import(request, pk))


def show_import(request: HttpRequest, job: ImportJob, problem: str = "") -> HttpResponse:
    context = import_shown(job, request.user)
    if job.status in (Status.RUNNING, Status.COMPLETE):
        context["chart"] = chart_of(job)
    if job.status not in ACTIVE:
        context |= problems_shown(job) | {"understood": understood(job)}
    if job.status == Status.READY:
        context |= preview_shown(job, request.user)
    if context["can_change"]:
        context |= mapping_shown(job, request.POST or None) | {"mapping_problem": problem}
        context["options"] = options_offered(job)
    return render(request, "imports/import.html", context, status=422 if problem else 200)


@never_cache
@login_required
@require_safe
def chart(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The chart alone, for the script to put in the place of an older one."""
    return render(request, "imports/chart.html", {"chart": chart_of(visible_import(request, pk))})


@never_cache
@login_required
@require_safe
def rows(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Rows that were refused or skipped, page by page; of one cause, if asked for."""
    job = visible_import(request, pk)
    return render(request, "imports/rows.html", {"job": job, **rows_shown(job, request.GET)})


def visible_import(request: HttpRequest, pk: UUID) -> ImportJob:
    return get_object_or_404(
        permissions.get_visible_imports(request.user).select_related("owner"), pk=pk
    )


# --- Start, cancel and change ------------------------------------------------


def by_button(change: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Only a form changes anything. A reload, or a sign-in in between, shows the import."""

    @login_required
    @wraps(change)
    def view(request: HttpRequest, pk: UUID) -> HttpResponse:
        return change(request, pk) if request.method == "POST" else redirect("import", pk)

    return view


@by_button
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    return ask(request, pk, lifecycle.start)


@by_button
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    return ask(request, pk, lifecycle.cancel)


@never_cache
@by_button
def map_columns(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Check the file anew, with the columns that were chosen."""
    job = get_object_or_404(permissions.get_controllable_imports(request.user), pk=pk)
    try:
        told = {"column_mapping": chosen(job, request.POST)} if job.detected_columns else {}
        return ask(request, pk, partial(lifecycle.check_again, changed=told))
    except (ChosenTwice, InvalidMapping) as error:
        return show_import(request, job, problem_with(job, error))


@by_button
def change_options(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Check the file anew, read or taken otherwise."""
    job = get_object_or_404(permissions.get_controllable_imports(request.user), pk=pk)
    form = OptionsForm(job, request.POST)
    if form.is_valid():
        return ask(request, pk, partial(lifecycle.check_again, changed=form.changed()))
    notes.warning(request, _("Choose among what is offered. Nothing is changed."))
    return redirect("import", job.pk)


def ask(request: HttpRequest, pk: UUID, move: Callable[[UUID], ImportJob]) -> HttpResponse:
    job = get_object_or_404(permissions.get_controllable_imports(request.user), pk=pk)
    try:
        move(job.pk)
    except TransitionNotAllowed:
        notes.warning(request, _("That is no longer possible: see below how the import stands."))
    return redirect("import", job.pk)


class ChangePassword(SuccessMessageMixin, PasswordChangeView):
    template_name = "registration/password.html"  # The admin's own page has the usual name.
    success_url = reverse_lazy("imports")
    success_message = gettext_lazy("Your password is changed.")


def page_of(request: HttpRequest, found: Any, size: int) -> Page:
    return Paginator(found, size).get_page(request.GET.get("page"))


# --- What went wrong ---------------------------------------------------------


def server_error(request: HttpRequest) -> HttpResponse:
    """The page for an error nobody caught; without the database it says that, and 503."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        page = render_to_string("503.html")
        return HttpResponse(page, status=503, headers={"Retry-After": "5"})
    return HttpResponse(render_to_string("500.html"), status=500)
