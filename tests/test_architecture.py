"""Imports between modules point one way."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("config", "devserver", "imports", "customers")

# In the order data flows. A module may import what stands in the lines above its own.
LAYERS = """
    config.env  config.logging  config.openapi  config.csp
    config.settings
    devserver.paths
    devserver.signals
    devserver.processes
    devserver.orphans
    devserver.binaries
    devserver.postgres  devserver.redis
    devserver.servers  devserver.bootstrap  devserver.progress_bar
    devserver.supervisor  devserver.demo
    devserver.__main__
    imports.statuses  imports.cell_values
    imports.importer  imports.mojibake
    imports.text_cell_values
    imports.queue  imports.transitions  imports.storage  imports.idempotency  imports.saved_mappings
    imports.models
    imports.pipeline.transactions
    imports.pipeline.target_table
    imports.pipeline.reader_process  imports.pipeline.read_summary
    imports.pipeline.reader_client  imports.pipeline.value_parsing
    imports.pipeline.field_cleaning
    imports.pipeline.header_detection  imports.pipeline.formula_injection
    imports.pipeline.row_filter
    imports.pipeline.row_validation
    imports.pipeline.column_suggestions  imports.pipeline.column_mapping
    imports.pipeline.staging
    imports.pipeline.duplicates
    imports.pipeline.file_checker  imports.pipeline.attempts
    imports.pipeline.poison_batches  imports.pipeline.batch_writer
    imports.pipeline.batch_applier
    imports.error_messages  imports.worker_process  imports.row_results  imports.provenance
    imports.permissions
    imports.preview
    imports.authentication
    imports.snapshots
    imports.progress
    imports.actors
    imports.recovery
    imports.lifecycle
    imports.pipeline.failed_rows  imports.template_workbook
    imports.pipeline.failed_rows_file
    imports.inline
    imports.downloads
    imports.live.database
    imports.live.hub
    imports.live.authorization  imports.live.coalescing
    imports.live.sse  imports.live.websocket
    imports.live.routing
    imports.api.error_hints
    imports.api.errors  imports.api.serializers
    imports.api.pagination  imports.api.throttles
    imports.api.response_serializers  imports.api.examples  imports.api.describing
    imports.api.call_descriptions  imports.api.streams
    imports.api.file_schema
    imports.api.views
    imports.api.downloads  imports.api.schema_views  imports.api.token_views
    imports.api.urls
    imports.pages.forms
    imports.pages.presenters
    imports.pages.speed_chart  imports.pages.failed_rows  imports.pages.preview
    imports.pages.column_mapping  imports.pages.read_options
    imports.pages.read_summary
    imports.pages.views  imports.pages.downloads
    imports.pages.urls
    imports.checks
    imports.admin.base  imports.admin.timeline  imports.admin.rows  imports.admin.actions
    imports.admin.jobs  imports.admin.batches  imports.admin.workers
    imports.templatetags.review
    imports.apps
    customers.models
    customers.normalization  customers.sample_data
    customers.phones
    customers.validators
    customers.importer  customers.admin  customers.search
    customers.management.commands.sample_workbook
    customers.api.serializers  customers.api.legacy.json_guard  customers.api.legacy.results
    customers.api.legacy.parsers  customers.api.legacy.estimates
    customers.api.call_descriptions  customers.api.legacy.call_descriptions
    customers.api.views  customers.api.legacy.views
    customers.api.urls
    customers.pages.views
    customers.pages.urls
    customers.apps
    config.request_guard  config.errors
    config.asgi  config.urls  config.server
"""
HEIGHT = {name: height for height, line in enumerate(LAYERS.splitlines()) for name in line.split()}

# Whole rooms that must not know of each other, or of what lies outside.
STRANGERS = [
    ("imports", "customers config"),
    (
        "imports.pipeline",
        "dramatiq redis channels rest_framework imports.progress imports.actors imports.live"
        " imports.api imports.pages imports.permissions imports.lifecycle",
    ),
    ("imports.pipeline.reader", "django imports config customers"),
    ("imports.live", "imports.api imports.pages imports.admin imports.pipeline"),
    ("imports.api", "imports.live imports.pages imports.admin channels"),
    ("imports.pages", "imports.live imports.api imports.admin channels rest_framework"),
    ("imports.admin", "imports.live imports.api imports.pages channels rest_framework"),
    *((f"customers.{name}", "django.db imports.models") for name in ("cells", "phones", "rules")),
]


def name_of(file):
    return ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    name_of(file): file
    for room in ROOMS
    for file in (PROJECT / room).rglob("*.py")
    if "migrations" not in file.parts
}
# Packages hold nothing; the reader's files are one program of their own.
MODULES = {
    name: file
    for name, file in FILES.items()
    if file.name != "__init__.py" and not name.startswith("imports.pipeline.reader.")
}


def imported_by(name):
    """Every module and every name in a module that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def lies_in(name, room):
    return name == room or name.startswith(f"{room}.")


def test_every_module_has_a_place():
    assert MODULES.keys() == HEIGHT.keys()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_stands_above_it(name):
    own = imported_by(name) & HEIGHT.keys()

    assert not {other for other in own if HEIGHT[other] >= HEIGHT[name]}


@pytest.mark.parametrize(("room", "strangers"), STRANGERS)
def test_a_room_does_not_know_its_strangers(room, strangers):
    for name in FILES:
        if lies_in(name, room):
            known = {o for o in imported_by(name) for s in strangers.split() if lies_in(o, s)}
            assert not known, f"{name} imports {known}"


def test_one_line_of_code_writes_a_status():
    """By SQL in `transitions`, and never through the ORM."""
    writers = [name for name, file in FILES.items() if "SET status =" in file.read_text()]
    assert writers == ["imports.transitions"]
    for name, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "update":
                assert "status" not in {k.arg for k in node.keywords}, name


def test_only_actors_send_messages():
    senders = {
        name
        for name, file in FILES.items()
        if re.search(r"\.enqueue\(|(check_next|apply_batch)\.send", file.read_text())
    }
    assert senders == {"imports.actors"}
