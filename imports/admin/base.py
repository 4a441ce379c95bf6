"""The read-only base of the admin classes, and how the admin formats numbers and times."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest
from django.template.defaultfilters import floatformat
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import ngettext

from imports import permissions
from imports.error_messages import advise_on_stalled_reason
from imports.statuses import Outcome, StalledReason
from imports.worker_status import count_live_workers

NO_VALUE = "-"


ModelT = TypeVar("ModelT", bound=Model)

if TYPE_CHECKING:
    GenericModelAdmin = admin.ModelAdmin
else:

    class GenericModelAdmin(admin.ModelAdmin, Generic[ModelT]):
        """Django's class takes a type parameter only in its type stubs."""


class FilteredAdmin(GenericModelAdmin[ModelT]):
    """An admin whose list accepts only the filters that it offers.

    Django accepts a lookup of every field of the model in the address of a list. The number of
    results of `?file_digest__startswith=a` would disclose a field that no page shows.
    """

    # Fields by which links of other pages filter, although the list offers no filter for them.
    linked_fields: ClassVar[Collection[str]] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        is_offered = lookup.split(LOOKUP_SEP)[0] in self._list_filter_names(request)
        return is_offered and super().lookup_allowed(lookup, value, request)

    def _list_filter_names(self, request: HttpRequest) -> set[str]:
        names = {self.date_hierarchy or "", *self.linked_fields}
        for item in self.get_list_filter(request):
            match item:
                case str() as name:
                    names.add(name)
                case (str() as name, _):  # A field and the class of its filter.
                    names.add(name)
                case _:  # A SimpleListFilter.
                    names.add(getattr(item, "parameter_name", ""))
        return names


class ReadOnlyAdmin(FilteredAdmin[ModelT]):
    """An admin without forms, for users who may see every import."""

    show_full_result_count = False

    class Media:
        css = {"all": ["imports/admin.css"]}

    def reverse(self, name: str, *arguments: object) -> str:
        """Return the address of a page of the same admin site, which may have any name."""
        return reverse(f"admin:{name}", args=arguments, current_app=self.admin_site.name)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False  # A deletion would cascade through millions of rows.

    def has_view_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return permissions.can_view_all(request.user) or super().has_view_permission(request, obj)


def warn_without_worker(request: HttpRequest) -> None:
    """Show a message on the page of this request if no worker is running."""
    if not count_live_workers():
        reason = StalledReason.NO_WORKER
        text = f"{reason.label}. {advise_on_stalled_reason(reason)}"
        messages.warning(request, text)


def format_number(number: int | None) -> str:
    return NO_VALUE if number is None else intcomma(number)


def format_count(kind: str, n: int) -> str:
    """Return for example "1,234 created". `kind` is an outcome, "not_written" or "remaining"."""
    texts = {
        Outcome.CREATED: ngettext("%(shown)s created", "%(shown)s created", n),
        Outcome.UPDATED: ngettext("%(shown)s updated", "%(shown)s updated", n),
        Outcome.UNCHANGED: ngettext("%(shown)s unchanged", "%(shown)s unchanged", n),
        Outcome.SKIPPED: ngettext("%(shown)s skipped", "%(shown)s skipped", n),
        Outcome.FAILED: ngettext("%(shown)s failed", "%(shown)s failed", n),
        "not_written": ngettext("%(shown)s not written", "%(shown)s not written", n),
        "remaining": ngettext("%(shown)s remaining", "%(shown)s remaining", n),
    }
    return texts[kind] % {"shown": format_number(n)}


def format_duration(duration: timedelta | None) -> str:
    """Return for example "2.4 s" or "2 min 5 s". Only the decimal mark depends on the language."""
    if duration is None:
        return NO_VALUE
    seconds = max(duration.total_seconds(), 0)
    if seconds < 60:
        return f"{floatformat(seconds, 2 if seconds < 1 else 1)} s"
    minutes, hours, days = (int(seconds // size) for size in (60, 3600, 86_400))
    if days:
        return f"{intcomma(days)} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def format_rate(rows: int | None, duration: timedelta | None) -> str:
    """Return the rows per second."""
    if not rows or not duration or duration.total_seconds() <= 0:
        return NO_VALUE
    rate = rows / duration.total_seconds()
    return intcomma(round(rate)) if rate >= 10 else floatformat(rate, -1)


def format_time(moment: datetime | None) -> str:
    """Return the local date and time, with seconds."""
    if moment is None:
        return NO_VALUE
    return f"{date_format(localtime(moment), 'DATE_FORMAT')} {localtime(moment):%H:%M:%S}"
