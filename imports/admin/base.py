"""What happened, to be looked at by those who may see every import, and changed by nobody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import HttpRequest
from django.template.defaultfilters import floatformat
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import ngettext

from imports.statuses import Outcome

NOTHING = "-"


class ReadOnly(admin.ModelAdmin):
    """What happened, to be looked at."""

    show_full_result_count = False

    class Media:
        css = {"all": ["imports/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # It would cascade through rows by the million.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        all_of_them = any(map(request.user.has_perm, ("imports.view_all", "imports.control_all")))
        return all_of_them or super().has_view_permission(request, obj)


def grouped(number: int | None) -> str:
    return NOTHING if number is None else intcomma(number)


def counted(what: str, n: int) -> str:
    """So many rows and what became of them, as one says it of one row or of several."""
    words = {
        Outcome.CREATED: ngettext("%(shown)s created", "%(shown)s created", n),
        Outcome.UPDATED: ngettext("%(shown)s updated", "%(shown)s updated", n),
        Outcome.UNCHANGED: ngettext("%(shown)s unchanged", "%(shown)s unchanged", n),
        Outcome.SKIPPED: ngettext("%(shown)s skipped", "%(shown)s skipped", n),
        Outcome.FAILED: ngettext("%(shown)s refused", "%(shown)s refused", n),
        "left": ngettext("%(shown)s not written", "%(shown)s not written", n),
        "coming": ngettext("%(shown)s to come", "%(shown)s to come", n),
    }
    return words[what] % {"shown": grouped(n)}


def lasted(time: timedelta | None) -> str:
    """Short, and the same in all languages but for the comma: "2.4 s", "2 min 5 s"."""
    if time is None:
        return NOTHING
    seconds = max(time.total_seconds(), 0)
    if seconds < 60:
        return f"{floatformat(seconds, 2 if seconds < 1 else 1)} s"
    minutes, hours, days = (int(seconds // size) for size in (60, 3600, 86_400))
    if days:
        return f"{intcomma(days)} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def rate(rows: int | None, time: timedelta | None) -> str:
    if not rows or not time or time.total_seconds() <= 0:
        return NOTHING
    each_second = rows / time.total_seconds()
    return intcomma(round(each_second)) if each_second >= 10 else floatformat(each_second, -1)


def at(moment: datetime | None) -> str:
    """To the second, which is what a timeline is read for."""
    if moment is None:
        return NOTHING
    return f"{date_format(localtime(moment), 'DATE_FORMAT')} {localtime(moment):%H:%M:%S}"
