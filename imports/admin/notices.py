"""Webhooks and notices in the admin: endpoints with their test, and the log of the deliveries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Field, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from imports import notice_delivery, permissions
from imports.actors import enqueue_notices
from imports.admin.base import NO_VALUE, FilteredAdmin, ReadOnlyAdmin, format_time
from imports.importer import list_importers
from imports.notices import Notice, WebhookEndpoint, make_salt

MAX_RESENT_NOTICES = 200


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(FilteredAdmin[WebhookEndpoint]):
    """Endpoints of webhooks. A secret is on one page only: the one that creates it."""

    list_display = ("name", "importer", "is_active", "created_at")
    fields = ("name", "url", "importer", "is_active")

    class Media:
        css = {"all": ["imports/admin.css"]}

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> forms.Field | None:
        """Offer the registered importers instead of a text field."""
        if db_field.name != "importer":
            return super().formfield_for_dbfield(db_field, request, **options)
        choices = [(importer.name, importer.title()) for importer in list_importers()]
        return forms.ChoiceField(
            choices=[("", gettext("All imports")), *choices],
            required=False,
            label=capfirst(db_field.verbose_name),
        )

    def get_urls(self) -> list[URLPattern]:
        admin_view, name = self.admin_site.admin_view, "imports_webhookendpoint"
        views = {"test": self.test_view, "secret": self.secret_view}
        return [
            *(
                path(f"<uuid:pk>/{each}/", admin_view(require_POST(view)), name=f"{name}_{each}")
                for each, view in views.items()
            ),
            *super().get_urls(),
        ]

    def response_add(
        self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._show_secret(request, obj)

    def test_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Let a worker send a test to the endpoint, and show the log of its delivery.

        A user who may not view notices returns to the page of the webhook.
        """
        endpoint = self._get_changeable_or_404(request, pk)
        notice = notice_delivery.create_test(endpoint)
        enqueue_notices()
        self.log_change(request, endpoint, gettext("Sent a test."))
        if can_view_notices(request):
            text = gettext("A worker sends the test now. Reload this page to see its result.")
            messages.success(request, text)
            return redirect("admin:imports_notice_change", notice.pk)
        text = gettext(
            "A worker sends the test now. To see its result, ask an administrator for the "
            "permission to view notices."
        )
        messages.success(request, text)
        return redirect("admin:imports_webhookendpoint_change", endpoint.pk)

    def secret_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Replace the secret of the endpoint, and show the new one."""
        endpoint = self._get_changeable_or_404(request, pk)
        endpoint.salt = make_salt()
        endpoint.save(update_fields=["salt"])
        self.log_change(request, endpoint, gettext("Made a new secret."))
        return self._show_secret(request, endpoint)

    def _show_secret(self, request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Secret of the webhook"),
            "subtitle": str(endpoint),
            "opts": self.opts,
            "endpoint": endpoint,
            "secret": endpoint.make_secrets()[0],
        }
        template = "admin/imports/webhookendpoint/secret.html"
        return TemplateResponse(request, template, context)  # `admin_view` forbids caches.

    def _get_changeable_or_404(self, request: HttpRequest, pk: UUID) -> WebhookEndpoint:
        endpoint = self.get_object(request, str(pk))
        if endpoint is None:
            raise Http404
        if not self.has_change_permission(request, endpoint):
            raise PermissionDenied
        return endpoint


def can_view_notices(request: HttpRequest) -> bool:
    """Whether the user may see the log of deliveries.

    In the admin, the permission to change includes the permission to view.
    """
    return request.user.has_perm("imports.view_notice") or request.user.has_perm(
        "imports.change_notice"
    )


class ResultFilter(admin.SimpleListFilter):
    """Notices by the result of their delivery."""

    title = _("result")
    parameter_name = "result"
    conditions = {
        "delivered": Q(delivered_at__isnull=False),
        "waiting": Q(delivered_at=None, gave_up_at=None),
        "given_up": Q(gave_up_at__isnull=False),
    }

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Notice]
    ) -> list[tuple[str, str]]:
        return [
            ("delivered", gettext("Delivered")),
            ("waiting", gettext("Waiting")),
            ("given_up", gettext("Given up")),
        ]

    def queryset(self, request: HttpRequest, notices: QuerySet[Notice]) -> QuerySet[Notice]:
        condition = self.conditions.get(self.value() or "")
        return notices if condition is None else notices.filter(condition)


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin[Notice]):
    """The log of e-mails and webhooks, without addresses and texts."""

    list_display = ("created", "kind", "receiver", "file", "result", "error", "attempts")
    list_display_links = ("created",)
    list_filter = ("kind", ResultFilter, "endpoint")
    list_select_related = ("job", "endpoint")
    fields = (
        "id",
        "kind",
        "receiver",
        "file",
        "created",
        "result",
        "delivered",
        "given_up",
        "attempts",
        "error",
        "response_status",
        "next_attempt",
    )
    actions = ("send_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        visible = permissions.get_visible_imports(request.user)
        is_visible = Q(job=None) | Q(job__in=visible)
        return super().get_queryset(request).filter(is_visible)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("imports.change_notice")

    @admin.action(description=_("Send the selected notices again"), permissions=["resend"])
    def send_again(self, request: HttpRequest, selected: QuerySet[Notice]) -> None:
        notices = selected[:MAX_RESENT_NOTICES]
        for notice in notices:
            notice_delivery.send_again(notice)
        enqueue_notices()
        text = gettext("A worker sends %(n)s notices now.") % {"n": len(notices)}
        messages.success(request, text)

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, notice: Notice) -> str:
        return format_time(notice.created_at)

    @admin.display(description=_("receiver"))
    def receiver(self, notice: Notice) -> str:
        return gettext("the owner") if notice.endpoint is None else notice.endpoint.name

    @admin.display(description=_("import"))
    def file(self, notice: Notice) -> SafeString | str:
        job: Model | None = notice.job
        if job is None:
            return gettext("Test")
        url = self.reverse("imports_importjob_change", job.pk)
        return format_html('<a href="{}">{}</a>', url, str(job))

    @admin.display(description=_("result"))
    def result(self, notice: Notice) -> str:
        if notice.delivered_at is not None:
            return gettext("Delivered")
        return gettext("Waiting") if notice.gave_up_at is None else gettext("Given up")

    @admin.display(description=_("delivered"))
    def delivered(self, notice: Notice) -> str:
        return format_time(notice.delivered_at)

    @admin.display(description=_("given up"))
    def given_up(self, notice: Notice) -> str:
        return format_time(notice.gave_up_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, notice: Notice) -> str:
        is_over = notice.delivered_at is not None or notice.gave_up_at is not None
        return NO_VALUE if is_over else format_time(notice.due_at)
