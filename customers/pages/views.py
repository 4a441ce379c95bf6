"""The page of customers: to find one, and to see which row of which file it came from."""

from __future__ import annotations

from typing import Any
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

CUSTOMERS_A_PAGE = 50


@never_cache
@login_required
@require_safe
def customers(request: HttpRequest) -> HttpResponse:
    """The customers the reader may see, newest first: all, of one import, or as searched."""
    visible = permissions.get_visible_imports(request.user)
    found, job = permissions.get_visible_records(request.user, Customer), None
    if asked_import := request.GET.get("import"):
        job = get_object_or_404(visible, pk=as_uuid(asked_import))
        found = found & provenance.find_written_records(visible.filter(pk=job.pk), Customer)
    text = request.GET.get("q", "").strip().replace("\x00", "")
    if text:
        found = search.search_customers(found, text)
    before = request.GET.get("before", "")
    before = int(before) if before.isdecimal() and len(before) < 19 else None
    shown = list(behind(found, before)[: CUSTOMERS_A_PAGE + 1])
    page, more = shown[:CUSTOMERS_A_PAGE], len(shown) > CUSTOMERS_A_PAGE
    asked = {"q": text, "import": job.pk if job else ""}
    context = {
        "customers": with_origins(page, visible),
        "text": text,
        "job": job,
        "before": before,
        "query": urlencode({name: value for name, value in asked.items() if value}),
        "next": page[-1].pk if more else None,
    }
    return render(request, "customers/customers.html", context)


def as_uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def behind(found: QuerySet[Customer], before: int | None) -> QuerySet[Customer]:
    """Pages begin behind a customer, so that those who come in meanwhile move nobody."""
    return (found if before is None else found.filter(pk__lt=before)).order_by("-pk")


def with_origins(page: list[Customer], visible: QuerySet[ImportJob]) -> list[dict[str, Any]]:
    known = provenance.find_provenance(page, visible)
    names = visible.filter(pk__in={origin.job_id for origin in known.values()})
    names = dict(names.values_list("pk", "file_name"))
    return [
        {"customer": customer, "origin": origin, "file_name": origin and names.get(origin.job_id)}
        for customer in page
        for origin in [known.get(customer.pk)]
    ]
