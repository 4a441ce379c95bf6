"""What the REST API takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse
from django.utils.text import get_text_list
from rest_framework import serializers

from imports import messages, outcomes
from imports.importer import registered
from imports.models import ImportJob, ImportRow
from imports.progress import snapshot
from imports.statuses import OnDuplicate, Outcome, Status

LONGEST_KEY = 255
MOST_ROWS = 1_000


class UploadSerializer(serializers.Serializer):
    """What comes with an uploaded file."""

    importer = serializers.CharField(required=False)
    on_duplicate = serializers.ChoiceField(OnDuplicate.choices, default=OnDuplicate.SKIP)
    check_first = serializers.BooleanField(default=False)
    idempotency_key = serializers.CharField(default="", allow_blank=True, max_length=LONGEST_KEY)

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        names = [importer.name for importer in registered()]
        if "importer" not in sent and len(names) == 1:
            sent["importer"] = names[0]
        if sent.get("importer") not in names:
            code = "invalid_choice" if "importer" in sent else "required"
            problem = f"Say what the file holds: {get_text_list(sorted(names), 'or')}."
            raise serializers.ValidationError({"importer": problem}, code)
        return sent


class ImportJobSerializer(serializers.ModelSerializer):
    """An import: its snapshot's fields, and what was asked for."""

    owner = serializers.SlugRelatedField("username", read_only=True)
    urls = serializers.SerializerMethodField()

    class Meta:
        model = ImportJob
        fields = (
            *("importer", "on_duplicate", "check_first"),
            *("file_name", "file_size", "owner", "urls"),
        )

    def get_urls(self, job: ImportJob) -> dict[str, str]:
        own = reverse("api:import-detail", args=[job.pk])
        names = ("events", "rows", "problems", "start", "cancel")
        return {"self": own, **{name: f"{own}{name}/" for name in names}}

    def to_representation(self, job: ImportJob) -> dict[str, Any]:
        return snapshot(job, waiting=self.context.get("waiting")) | super().to_representation(job)


class JobsQuery(serializers.Serializer):
    status = serializers.MultipleChoiceField(choices=Status.choices, required=False)


class RowsQuery(serializers.Serializer):
    outcome = serializers.ChoiceField(Outcome.choices, required=False)
    after = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=MOST_ROWS, default=100)


def row_as_sent(row: ImportRow, importer: str) -> dict[str, Any]:
    return {
        "row": row.number,
        "outcome": row.result,
        "record": outcomes.record_of(row),
        "errors": [error_as_sent(error, row.number, importer) for error in row.errors or []],
    }


def problem_as_sent(problem: Mapping[str, Any], importer: str) -> dict[str, Any]:
    example = error_as_sent(problem["example"], problem["rows"][0], importer)
    return {**problem, "example": example}


def error_as_sent(error: Mapping[str, Any], row: int, importer: str) -> dict[str, Any]:
    return {"row": row, **error, "message": messages.of_row(error, importer)}
