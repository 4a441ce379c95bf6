"""The page of customers: a search, with the import and the row that wrote each customer."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from customers import search
from customers.models import Customer
from imports import permissions, provenance
from imports.models import ImportJob

CUSTOMERS_PER_PAGE = 50
MAX_KEY_DIGITS = 18  # Every number of so many digits fits a 64-bit key.


@never_cache
@login_required
@require_safe
def list_customers(request: HttpRequest) -> HttpResponse:
    """Show the customers that the user may see, newest first.

    The query string restricts them: `q` to those that match a search, `import` to those that one
    import wrote, and `before` to those with a smaller key.
    """
    visible_imports = permissions.get_visible_imports(request.user)
    visible_records = permissions.get_visible_records(request.user, Customer)
    customers, job = cast("QuerySet[Customer]", visible_records), None
    if import_id := request.GET.get("import"):
        job = get_object_or_404(visible_imports, pk=_parse_uuid(import_id))
        customers &= provenance.find_written_records(visible_imports.filter(pk=job.pk), Customer)
    text = request.GET.get("q", "").strip().replace("\x00", "")
    if text:
        customers = search.search_customers(customers, text)
    before = _parse_key(request.GET.get("before", ""))
    if before is not None:
        customers = customers.filter(pk__lt=before)
    found = list(customers.order_by("-pk")[: CUSTOMERS_PER_PAGE + 1])
    page, has_more = found[:CUSTOMERS_PER_PAGE], len(found) > CUSTOMERS_PER_PAGE
    filters = {"q": text, "import": job.pk if job else ""}
    context = {
        "items": _build_items(page, visible_imports),
        "text": text,
        "job": job,
        "before": before,
        "query": urlencode({name: value for name, value in filters.items() if value}),
        "next_before": page[-1].pk if has_more else None,
    }
    return render(request, "customers/customers.html", context)


def _parse_uuid(text: str) -> UUID:
    """Return the UUID. Raises Http404 for any other text."""
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def _parse_key(text: str) -> int | None:
    """Return the primary key; None for any other text."""
    return int(text) if text.isdecimal() and len(text) <= MAX_KEY_DIGITS else None


def _build_items(
    customers: list[Customer], visible_imports: QuerySet[ImportJob]
) -> list[dict[str, object]]:
    """Return each customer with the import and row that wrote it, if the user may see them."""
    provenance_by_key = provenance.find_provenance(customers, visible_imports)
    jobs = visible_imports.filter(
        pk__in={written_by.job_id for written_by in provenance_by_key.values()}
    )
    file_names = dict(jobs.values_list("pk", "file_name"))
    return [
        {
            "customer": customer,
            "provenance": written_by,
            "file_name": file_names.get(written_by.job_id) if written_by else None,
        }
        for customer in customers
        for written_by in [provenance_by_key.get(customer.pk)]
    ]
