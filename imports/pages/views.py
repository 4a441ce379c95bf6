"""The views of the pages. They check permissions and render; other modules change imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from imports import error_messages, lifecycle, permissions
from imports.conf import app_settings
from imports.history import Command
from imports.importer import get_importer, is_registered, list_importers
from imports.job_commands import explain_refusals, run_command
from imports.models import ImportJob, TransitionNotAllowed
from imports.pages.column_mapping import (
    FieldSelectedTwice,
    build_mapping_context,
    describe_invalid_mapping,
    read_mapping,
)
from imports.pages.failed_rows import build_problems_context, build_rows_context
from imports.pages.forms import (
    FilterForm,
    UploadForm,
    get_upload_options,
    make_option_form,
    read_submitted_options,
    render_option_form,
    validate_option_form,
)
from imports.pages.presenters import (
    IN_PROGRESS_STATUSES,
    build_history_context,
    build_import_context,
    build_list_buttons,
    describe_failure,
    describe_importer,
    get_actor,
    list_events,
    list_texts,
)
from imports.pages.preview import build_preview_context
from imports.pages.read_options import OptionsForm, make_options_form
from imports.pages.read_summary import build_read_summary_context
from imports.pages.speed_chart import build_speed_chart
from imports.pages.undo import build_kept_context, build_undo_context
from imports.permissions import NotPermitted
from imports.pipeline.column_mapping import InvalidMapping
from imports.quotas import QuotaExceeded
from imports.statuses import OnDuplicate, Status

IMPORTS_PER_PAGE = 20
EVENTS_PER_PAGE = 50
# These show what they would do before they do it.
COMMANDS_WITH_A_PAGE = (Command.UNDO,)

Context = dict[str, object]


@never_cache
@login_required
def show_imports(request: HttpRequest) -> HttpResponse:
    """Show the upload form and the imports that the user may see."""
    can_import = permissions.can_import(request.user)
    importers = permissions.list_permitted_importers(request.user)
    corrected = _get_corrected_import(request)
    assert request.user.is_authenticated
    form = UploadForm(
        initial=get_upload_options(corrected) if corrected else None, user=request.user
    )
    if request.method == "POST":
        if not can_import:
            raise PermissionDenied
        form = UploadForm(request.POST, request.FILES, user=request.user)
        _check_submitted_choice(request)
        if form.is_valid():
            return _upload_files(request, **form.cleaned_data)
    context = {
        "form": form if importers else None,
        "can_import": can_import,
        "has_importers": bool(list_importers()),
        "is_only": len(importers) == 1,
        "corrected": corrected,
        "importers": [describe_importer(importer) for importer in importers],
        "max_bytes": app_settings.MAX_UPLOAD_BYTES,
        "texts": list_texts(),
        **_build_list_context(request),
    }
    return render(request, "imports/imports.html", context, status=422 if form.errors else 200)


def _check_submitted_choice(request: HttpRequest) -> None:
    """Check the importer and the duplicate policy of a submitted form.

    The form does not offer what the user may not choose, but a permission may be lost meanwhile.

    Raises:
        NotPermitted: The user may not import with them.
    """
    name, policy = request.POST.get("importer", ""), request.POST.get("on_duplicate", "")
    if is_registered(name):
        permissions.check_upload(
            get_actor(request),
            get_importer(name),
            policy if policy in OnDuplicate.values else OnDuplicate.SKIP,
        )


@never_cache
@login_required
@require_POST
def check_options(request: HttpRequest) -> HttpResponse:
    """Validate the options of the importer's upload form, before the script uploads files.

    Returns the options for the REST API as JSON, or status 422 and the form with its errors.
    """
    assert request.user.is_authenticated
    if not permissions.can_import(request.user):
        raise PermissionDenied
    name = request.POST.get("importer", "")
    if not is_registered(name):
        raise Http404
    importer = get_importer(name)
    permissions.check_any_policy(request.user, importer)
    form = make_option_form(importer, request.user, data=request.POST)
    if form is None:
        return JsonResponse({"options": {}})
    if validate_option_form(form, importer, request.user):
        return JsonResponse({"options": read_submitted_options(form)})
    has_several = len(permissions.list_permitted_importers(request.user)) > 1
    html = render_option_form(form, importer, has_legend=has_several)
    return HttpResponse(html, status=422)


def _get_corrected_import(request: HttpRequest) -> ImportJob | None:
    """Return the import of `?corrects=`, whose failed rows the user is going to upload again.

    None if there is no such import, or if the user may not see it.
    """
    try:
        pk = UUID(request.GET.get("corrects", ""))
    except ValueError:
        return None
    names = [importer.name for importer in permissions.list_permitted_importers(request.user)]
    return permissions.get_visible_imports(request.user).filter(pk=pk, importer__in=names).first()


def _upload_files(
    request: HttpRequest,
    *,
    file: list[UploadedFile[bytes]],
    importer: str,
    on_duplicate: str,
    empty_cells: str,
    check_first: bool,
    options: dict[str, object],
) -> HttpResponse:
    """Create an import of each file, and redirect to the only import or to the list.

    The first file that would exceed a quota ends the upload. The list says what to delete.
    """
    assert request.user.is_authenticated
    jobs: list[ImportJob] = []
    error: QuotaExceeded | None = None
    for uploaded in file:
        try:
            jobs.append(
                lifecycle.upload(
                    request.user,
                    uploaded,
                    importer=importer,
                    on_duplicate=on_duplicate,
                    empty_cells=empty_cells,
                    check_first=check_first,
                    options=options,
                    by=get_actor(request),
                )
            )
        except QuotaExceeded as quota_error:
            error = quota_error
            break
    if len(jobs) == 1 and error is None:
        return redirect("imports:detail", jobs[0].pk)
    if jobs:
        text = ngettext("%(n)s file was uploaded.", "%(n)s files were uploaded.", len(jobs))
        messages.success(request, text % {"n": len(jobs)})
    if error is not None:
        messages.error(request, _describe_quota(error))
    return redirect("imports:list")


def _describe_quota(error: QuotaExceeded) -> str:
    """Return the sentence of the error, and links to the imports that can be deleted."""
    links = format_html_join(
        " ",
        '<a href="{}"><bdi>{}</bdi></a>',
        ((reverse("imports:detail", args=[job.pk]), job.file_name) for job in error.imports),
    )
    return format_html("{} {}", str(error), links)


def _build_list_context(request: HttpRequest) -> Context:
    listed = permissions.get_listed_imports(request.user).select_related("owner")
    listed = listed.defer(*ImportJob.LARGE_FIELDS)
    form = FilterForm(request.GET)
    page = _paginate(request, form.filter_imports(listed, request.user), IMPORTS_PER_PAGE)
    controllable = set(
        permissions.get_controllable_imports(request.user)
        .filter(pk__in=[job.pk for job in page])
        .values_list("pk", flat=True)
    )
    filters = {name: value for name, value in form.cleaned_data.items() if value}
    return {
        "filter": form,
        "is_filtered": bool(filters),
        "can_view_all": permissions.can_view_all(request.user),
        "query": f"{urlencode(filters)}&" if filters else "",
        "page": page,
        "unread_count": permissions.get_unread_imports(request.user).count(),
        "items": [
            (
                job,
                describe_failure(job),
                build_list_buttons(job, request.user) if job.pk in controllable else [],
            )
            for job in page
        ],
        "any_in_progress": any(job.status in IN_PROGRESS_STATUSES for job in page),
    }


@never_cache
@login_required
@require_safe
def show_import(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one import: its progress, its preview or result, and why rows failed."""
    job = _get_visible_import(request, pk)
    # The script of a page in a hidden tab fetches the page, too.
    is_looked_at = request.method == "GET" and "X-Page-Hidden" not in request.headers
    if is_looked_at and job.is_unread:
        lifecycle.mark_seen(permissions.get_unread_imports(request.user).filter(pk=job.pk))
    return _render_import(request, job)


@login_required
@require_POST
def mark_all_seen(request: HttpRequest) -> HttpResponse:
    """Remove the unread marks of all imports of the user."""
    lifecycle.mark_seen(permissions.get_unread_imports(request.user))
    return redirect("imports:list")


def _render_import(request: HttpRequest, job: ImportJob, mapping_problem: str = "") -> HttpResponse:
    context = build_import_context(job, request.user) | build_history_context(job)
    if job.status in (Status.RUNNING, Status.COMPLETE):
        context["chart"] = build_speed_chart(job)
    if job.status not in IN_PROGRESS_STATUSES:
        if job.has_contents:
            context |= build_problems_context(job, request.user)
        context["read_summary"] = build_read_summary_context(job)
    if job.kept:
        context |= build_kept_context(job)
    if job.status == Status.READY:
        context |= build_preview_context(job, request.user)
    if context["can_change"]:
        context |= build_mapping_context(job, request.user, request.POST or None)
        context["mapping_problem"] = mapping_problem
        context["options"] = make_options_form(job, request.user)
    status = 422 if mapping_problem else 200
    return render(request, "imports/import.html", context, status=status)


@never_cache
@login_required
@require_safe
def show_chart(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Render only the speed chart, which the script of the page fetches repeatedly."""
    context = {"chart": build_speed_chart(_get_visible_import(request, pk))}
    return render(request, "imports/chart.html", context)


@never_cache
@login_required
@require_safe
def show_history(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one page of the whole history of an import."""
    job = _get_visible_import(request, pk)
    page = Paginator(list_events(job), EVENTS_PER_PAGE).get_page(request.GET.get("page"))
    context = {"job": job, "page": page, "events": page.object_list}
    return render(request, "imports/history_page.html", context)


@never_cache
@login_required
@require_safe
def show_rows(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one page of failed or skipped rows, of one problem if the query string names one."""
    job = _get_visible_import(request, pk)
    if not job.has_contents:
        messages.warning(request, error_messages.CONTENTS_DELETED)
        return redirect("imports:detail", job.pk)
    context = {"job": job, **build_rows_context(job, request.GET, request.user)}
    return render(request, "imports/rows.html", context)


def _get_visible_import(request: HttpRequest, pk: UUID) -> ImportJob:
    visible = permissions.get_visible_imports(request.user).select_related("owner")
    return get_object_or_404(visible, pk=pk)


# --- Start, cancel, delete and change ------------------------------------------------


def post_or_redirect(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Call the view for POST. Redirect any other request, such as a reload, to the import."""

    @login_required
    @wraps(view)
    def wrapper(request: HttpRequest, pk: UUID, **options: Command) -> HttpResponse:
        if request.method != "POST":
            return redirect("imports:detail", pk)
        return view(request, pk, **options)

    return wrapper


@post_or_redirect
def give_command(request: HttpRequest, pk: UUID, name: Command) -> HttpResponse:
    """Give a command to the import, and redirect to the page of its button."""
    command = partial(run_command, name, by=get_actor(request))
    return _change_import(request, pk, command, next_url=request.POST.get("next", ""))


@post_or_redirect
def delete_contents_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Delete the file and the rows of the import."""
    command = partial(run_command, Command.DELETE, by=get_actor(request))
    return _change_import(request, pk, command)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def undo_import_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show what undoing the import would do; with POST, undo it."""
    job = get_object_or_404(permissions.get_controllable_imports(request.user), pk=pk)
    if request.method == "POST":
        return give_command(request, pk, name=Command.UNDO)
    try:
        permissions.check_command(get_actor(request), job, Command.UNDO)
        with explain_refusals(Command.UNDO, job.pk):
            return render(request, "imports/undo.html", build_undo_context(job))
    except (TransitionNotAllowed, NotPermitted) as error:
        messages.warning(request, f"{job.file_name}: {error}")
    return redirect("imports:detail", job.pk)


@never_cache
@post_or_redirect
def map_columns(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Check the import again with the submitted column mapping."""
    job = get_object_or_404(permissions.get_controllable_imports(request.user), pk=pk)
    try:
        changes = (
            {"column_mapping": read_mapping(job, request.POST)} if job.detected_columns else {}
        )
        return _check_again(request, pk, changes)
    except (FieldSelectedTwice, InvalidMapping) as error:
        return _render_import(request, job, describe_invalid_mapping(job, error))


@post_or_redirect
def change_options(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Check the import again with the submitted options."""
    job = get_object_or_404(permissions.get_controllable_imports(request.user), pk=pk)
    form = OptionsForm(job, request.user, request.POST)
    if form.is_valid():
        return _check_again(request, pk, form.get_changes())
    messages.warning(
        request,
        _("This option is not available. Nothing was changed. Choose one of the listed options."),
    )
    return redirect("imports:detail", job.pk)


def _check_again(request: HttpRequest, pk: UUID, changes: Mapping[str, object]) -> HttpResponse:
    def check_again(job_id: UUID) -> ImportJob:
        with explain_refusals(Command.CHANGE, job_id):
            return lifecycle.check_again(job_id, changes, by=get_actor(request))

    return _change_import(request, pk, check_again)


def _change_import(
    request: HttpRequest, pk: UUID, change: Callable[[UUID], ImportJob], next_url: str = ""
) -> HttpResponse:
    """Change the import, and redirect to `next_url`, or to the import if that is no own page."""
    job = get_object_or_404(permissions.get_controllable_imports(request.user), pk=pk)
    try:
        job = change(job.pk)
    except (TransitionNotAllowed, NotPermitted) as error:
        messages.warning(request, f"{job.file_name}: {error}")
    except QuotaExceeded as error:
        messages.warning(request, _describe_quota(error))
    except ImportJob.DoesNotExist:  # It was deleted meanwhile.
        raise Http404 from None
    if next_url and url_has_allowed_host_and_scheme(next_url, request.get_host()):
        return redirect(next_url)
    return redirect("imports:detail", job.pk)


def _paginate(request: HttpRequest, jobs: QuerySet[ImportJob], size: int) -> Page[ImportJob]:
    return Paginator(jobs, size).get_page(request.GET.get("page"))
