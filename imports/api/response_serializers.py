"""What answers look like whose parts no serializer builds. For the description alone.

Tests hold real answers against it, so it cannot drift from the code that builds them.
"""

from __future__ import annotations

from rest_framework import serializers

from imports.error_messages import READ_SUMMARY_MESSAGES
from imports.statuses import HiddenRows, Outcome, Status, Success


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
    success = serializers.ChoiceField(
        Success.choices,
        allow_null=True,
        help_text="Whether all, some or none of the rows were imported. Null until it has ended.",
    )
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField()
    live = LiveSerializer()


class UrlsSerializer(serializers.Serializer):
    """Where an import goes on."""

    self = serializers.CharField()
    events = serializers.CharField()
    rows = serializers.CharField()
    problems = serializers.CharField()
    preview = serializers.CharField()
    file = serializers.CharField()
    failed_rows_xlsx = serializers.CharField(allow_null=True, help_text="Null: there is nothing.")
    failed_rows_csv = serializers.CharField(allow_null=True, help_text="Null: none was refused.")
    start = serializers.CharField()
    cancel = serializers.CharField()
    stream = serializers.CharField(help_text="With a ticket, for an EventSource elsewhere.")
    websocket = serializers.CharField()


class OptionsSerializer(serializers.Serializer):
    """How the file was asked to be read; what is not here is guessed."""

    sheet = serializers.CharField(required=False)
    encoding = serializers.CharField(required=False)
    delimiter = serializers.CharField(required=False)
    hidden_rows = serializers.ChoiceField(HiddenRows.choices, required=False)


class DetectedFormatSerializer(serializers.Serializer):
    """How the file was read."""

    format = serializers.CharField(help_text="xlsx, csv and the like.")
    sheet = serializers.CharField(allow_null=True)
    encoding = serializers.CharField(allow_null=True)
    delimiter = serializers.CharField(allow_null=True, trim_whitespace=False)
    sheets = serializers.ListField(
        child=serializers.CharField(allow_blank=True), help_text="Those that may be chosen from."
    )
    second_encoding = serializers.CharField(
        allow_null=True, help_text="Of the lines that are not text in `encoding`."
    )
    hidden_columns = serializers.ListField(
        child=serializers.IntegerField(), help_text="Columns that the workbook hides, from 0."
    )
    second_reader = serializers.BooleanField(
        help_text="The usual parser could not open the workbook, another one could."
    )


class ReadSummaryEntrySerializer(serializers.Serializer):
    """One thing that the user should know of how the file was read."""

    code = serializers.CharField(
        help_text="For programs; new ones may come: "
        + ", ".join(f"`{code}`" for code in READ_SUMMARY_MESSAGES)
        + "."
    )
    params = serializers.DictField(
        help_text="What the code is about: `count` and `rows` (the numbers of the first 20) where "
        "it is about rows; `column` (a field), `columns` (headers), `encoding` and the like."
    )
    message = serializers.CharField(help_text="The entry as a sentence in English.")


class FieldColumnSerializer(serializers.Serializer):
    """Where one field of the records is taken from."""

    field = serializers.CharField()
    required = serializers.BooleanField()
    index = serializers.IntegerField(allow_null=True, help_text="The column; 0 is the first.")
    suggested = serializers.IntegerField(allow_null=True, help_text="What it might be.")


class ColumnsSerializer(serializers.Serializer):
    """What was found in the file, and where each field is taken from."""

    header_row = serializers.IntegerField(help_text="0: the file has none.")
    headers = serializers.ListField(child=serializers.CharField(allow_blank=True))
    samples = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(allow_blank=True)),
        help_text="A few values of each column.",
    )
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="Fields that need a column: say which."
    )
    from_saved_mapping = serializers.BooleanField(
        help_text="Whether the positions were chosen for an earlier file with the same headers."
    )
    fields = FieldColumnSerializer(many=True)


class RowErrorSerializer(serializers.Serializer):
    """One thing that is wrong with one row."""

    row = serializers.IntegerField(help_text="The spreadsheet's own number.")
    column = serializers.CharField(allow_null=True, help_text="Null: the row as a whole.")
    code = serializers.CharField(help_text="For programs; new ones may come.")
    params = serializers.DictField(help_text="What the code speaks of: a limit, another row.")
    value = serializers.CharField(allow_blank=True, help_text="As it was read, if it was short.")
    message = serializers.CharField()


class ChangeSerializer(serializers.Serializer):
    """What becomes of one field."""

    old = serializers.CharField(allow_null=True, allow_blank=True)
    new = serializers.CharField(allow_null=True, allow_blank=True)


class UpdateSerializer(serializers.Serializer):
    """A row that would change a record."""

    row = serializers.IntegerField()
    record = serializers.CharField(
        allow_null=True, help_text="The record's key; null: it is none that you may see."
    )
    changes = serializers.DictField(
        child=ChangeSerializer(), help_text="By field; none of a record you may not see."
    )


class CreateSerializer(serializers.Serializer):
    """A row that would become a record."""

    row = serializers.IntegerField()
    values = serializers.DictField(
        child=serializers.CharField(allow_null=True, allow_blank=True), help_text="By field."
    )


class PreviewSerializer(serializers.Serializer):
    """What starting an import would do, as its rows were judged."""

    checked_at = serializers.DateTimeField(help_text="Records may have changed since.")
    total = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField(
        allow_null=True, help_text="Null: too many to compare; updated counts them too."
    )
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()
    read_summary = ReadSummaryEntrySerializer(many=True)
    updates = UpdateSerializer(many=True, help_text="The first of them, long values cut.")
    creates = CreateSerializer(many=True, help_text="The first of them, long values cut.")


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
