"""The devices of the second factor in the admin, which shows and deletes them.

With django-otp's own pages, staff could add a device whose codes they know to any account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django_otp.plugins.otp_static.admin import StaticDevice
from django_otp.plugins.otp_totp.admin import TOTPDevice

if TYPE_CHECKING:
    DeviceModelAdmin = admin.ModelAdmin[Any]
else:
    DeviceModelAdmin = admin.ModelAdmin

# django-otp registers its own pages when its modules are imported, above.
admin.site.unregister([StaticDevice, TOTPDevice])


@admin.register(StaticDevice, TOTPDevice)
class DeviceAdmin(DeviceModelAdmin):
    """The owner and the dates of a device, without its key or codes."""

    list_display = ("user", "name", "confirmed", "created_at", "last_used_at")
    list_filter = ("confirmed",)
    list_select_related = ("user",)
    fields = (*list_display, "throttling_failure_count", "throttling_failure_timestamp")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False
