"""What answers look like whose parts no serializer builds. For the description alone.

Tests hold real answers against it, so it cannot drift from the code that builds them.
"""

from __future__ import annotations

from rest_framework import serializers

from imports.statuses import Outcome, Status


class LiveSerializer(serializers.Serializer):
    """What is true only now, so that no version goes with it."""

    queue_position = serializers.IntegerField(allow_null=True, help_text="1 is next; QUEUED only.")
    workers = serializers.IntegerField(help_text="With 0 nothing moves until one is started.")
    stalled = serializers.BooleanField(help_text="Nothing was committed for a while.")
    rows_per_second = serializers.IntegerField(allow_null=True)
    eta_seconds = serializers.IntegerField(allow_null=True)


class SnapshotSerializer(serializers.Serializer):
    """How far an import is: what each event of a stream and each message of a socket holds."""

    id = serializers.UUIDField()
    version = serializers.IntegerField(help_text="Rises with every change; drop older ones.")
    run = serializers.IntegerField(help_text="Progress never goes back within one.")
    status = serializers.ChoiceField(Status.choices)
    error_code = serializers.CharField(allow_null=True, help_text="Why it could not go on.")
    message = serializers.CharField(help_text="The status or the error, as a sentence.")
    total = serializers.IntegerField(allow_null=True, help_text="Rows; null until known.")
    checked = serializers.IntegerField()
    processed = serializers.IntegerField(help_text="Rows that have an outcome.")
    progress_percent = serializers.IntegerField(min_value=0, max_value=100)
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Existed already, and on_duplicate is skip.")
    failed = serializers.IntegerField(help_text="Refused; see problems and rows.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField()
    live = LiveSerializer()


class RowErrorSerializer(serializers.Serializer):
    """One thing that is wrong with one row."""

    row = serializers.IntegerField(help_text="The spreadsheet's own number.")
    column = serializers.CharField(allow_null=True, help_text="Null: the row as a whole.")
    code = serializers.CharField(help_text="For programs; new ones may come.")
    params = serializers.DictField(help_text="What the code speaks of: a limit, another row.")
    value = serializers.CharField(allow_blank=True, help_text="As it was read, if it was short.")
    message = serializers.CharField()


class RowSerializer(serializers.Serializer):
    row = serializers.IntegerField(help_text="The spreadsheet's own number.")
    outcome = serializers.ChoiceField(
        Outcome.choices, allow_null=True, help_text="Null: not processed yet."
    )
    record = serializers.CharField(allow_null=True, help_text="Key of what it created or matched.")
    errors = RowErrorSerializer(many=True)


class RowsSerializer(serializers.Serializer):
    """Rows in the file's order, and the address of those that follow."""

    next = serializers.URLField(allow_null=True)
    results = RowSerializer(many=True)


class ProblemSerializer(serializers.Serializer):
    """One cause for which rows were refused or skipped."""

    outcome = serializers.ChoiceField(Outcome.choices)
    column = serializers.CharField(allow_null=True)
    code = serializers.CharField()
    count = serializers.IntegerField(help_text="Rows with this cause.")
    rows = serializers.ListField(child=serializers.IntegerField(), help_text="The first ones.")
    example = RowErrorSerializer()


class ProblemsSerializer(serializers.Serializer):
    """The most frequent cause first."""

    complete = serializers.BooleanField(
        help_text="False: so many rows were refused that only the first were counted."
    )
    results = ProblemSerializer(many=True)
