"""Test which rows hold no record: repeated headers, totals, signatures."""

import pytest

from customers.importers import CustomerImporter
from customers.models import Customer
from imports import lifecycle
from imports.models import ImportJob
from imports.pipeline.header_detection import detect_columns
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.row_block import RowBlock
from imports.pipeline.row_filter import RowFilter, is_signature, is_total_label
from tests.factories import HEADERS, check_job, make_csv, make_job, make_row, run_import

RECORD = ["A 1", "Ama", "Mensah", None, "0244123451"]


def get_reason(cells, headers=HEADERS):
    """Return the code for which the row is left out, or None if it is kept."""
    layout = detect_columns([(1, list(headers)), (2, RECORD)], CustomerImporter)
    summary = ReadSummary()
    blocks = [RowBlock.from_rows([(7, list(cells))])]
    (kept,) = RowFilter(CustomerImporter, layout).keep_records(blocks, summary)
    codes = [entry["code"] for entry in summary.entries()]
    assert len(kept) + len(codes) == 1
    return codes[0] if codes else None


@pytest.mark.parametrize(
    "cells",
    [
        HEADERS,
        [header.upper() for header in HEADERS],
        [f" {header}: " for header in HEADERS],
        [*HEADERS, None, " "],
        ["Shipping-Mark", "FIRST NAME", "last_name", "E-Mail", "Phone."],
    ],
)
def test_a_row_that_repeats_the_header_is_left_out(cells):
    assert get_reason(cells) == "repeated_header"


@pytest.mark.parametrize(
    "cells",
    [
        HEADERS[:4],
        ["Shipping mark", "First name", "Last name", "E-mail", "0244123451"],
        [*HEADERS, "Remarks"],
        ["Shipping mark", "Phone", "Last name", "E-mail", "First name"],
    ],
)
def test_a_row_that_differs_from_the_header_in_one_cell_is_kept(cells):
    assert get_reason(cells) is None


@pytest.mark.parametrize(
    "cells",
    [
        ["Total"],
        ["TOTAL:", None, None, None, 3],
        ["Total customers", None, None, None, "3"],
        ["Grand total", None, None, None, "1,234.50"],
        ["Subtotal Accra", None, None, "12"],
        [None, None, "Sum", None, 7],
        ["Gesamt", 12],
        ["Gesamtsumme 2026"],
        ["Summe:", None, None, None, "=COUNTA(E2:E9)"],
        ["Sous-total", "4"],
        ["Somme", None, None, None, "12 %"],
        ["Totale generale", None, None, None, 9],
        ["Totaal", None, None, None, 9],
        ["Razem", None, None, None, 9],
        ["Toplam", None, None, None, 9],
        ["合计", None, None, None, 9],
        ["Итого:", None, None, None, 9],
    ],
)
def test_rows_with_totals_are_left_out(cells):
    assert get_reason(cells) == "total_row"


@pytest.mark.parametrize(
    "cells",
    [
        ["Prepared by: Ama Mensah"],
        ["Checked by: ______", None, None, None, None],
        ["Prepared by", "Ama Mensah"],
        ["Signature", None, None, "2026-03-12"],
        ["Printed on 12.03.2026"],
        ["Page 2 of 3"],
        ["Seite 2"],
        ["Page 1 sur 4"],
        ["*** End of report ***"],
        ["Erstellt von: Frau Müller"],
        ["Geprüft von"],
        ["Établi par : Mme Owusu"],
        ["Elaborado por: Ana"],
        ["Handtekening"],
        ["Podpis"],
        ["Составил: Иванов"],
    ],
)
def test_signatures_and_page_numbers_are_left_out(cells):
    assert get_reason(cells) == "signature_row"


@pytest.mark.parametrize(
    "cells",
    [
        ["TOTAL 1", "Ama", "Mensah", None, "0244123451"],  # A complete record.
        ["Total", "Ama", "Mensah", None, None],  # A record without a phone fails.
        ["Total", None, "Mensah", None, "0244123451"],
        ["Signature", "Ama", "Mensah", None, None],
        ["Prepared by", 1, 2, 3, 4],
        ["Total Energies", None, None, None, "0244123451"],
        ["Total", None, None, None, "+233 24 412 3451"],
        ["Totality", None, None, None, 3],
        ["Summer", None, None, None, 3],
        ["Sumatra Shipping"],
        ["Signatures Ltd", "Ama", None, None, "0244123451"],
        ["Paged out"],
        ["Ama", "Mensah"],
        [3, None, None, None, 3],
        [None, "Kofi"],
        ["Total " + "x" * 200],
    ],
)
def test_a_row_that_may_be_a_record_is_kept(cells):
    assert get_reason(cells) is None


@pytest.mark.parametrize("text", ["Total", "total:", "TOTAL 12", "Grand Total", "Sum of all"])
def test_texts_that_are_labels_of_totals(text):
    assert is_total_label(text)


@pytest.mark.parametrize("text", ["", "12", "Totalled", "The total", "Summit"])
def test_texts_that_are_not_labels_of_totals(text):
    assert not is_total_label(text)
    assert not is_signature(text)


@pytest.mark.django_db
def test_rows_left_out_are_counted_only_in_the_read_summary():
    rows = [make_row(1), HEADERS, make_row(2), [], ["Total", "", "", "", "2"], ["Prepared by: Esi"]]

    job = run_import(make_csv(rows))

    assert (job.total, job.created, job.failed) == (2, 2, 0)
    assert Customer.objects.count() == 2
    assert job.read_summary == [
        {"code": "repeated_header", "params": {"count": 1, "rows": [3]}},
        {"code": "total_row", "params": {"count": 1, "rows": [6]}},
        {"code": "signature_row", "params": {"count": 1, "rows": [7]}},
    ]


@pytest.mark.django_db
def test_the_read_summary_counts_all_rows_and_lists_the_first(settings):
    settings.IMPORTS_CHUNK_ROWS = 10
    rows = [row for n in range(1, 31) for row in (make_row(n), HEADERS)]

    job = run_import(make_csv(rows))

    assert ImportJob.objects.get().read_summary == job.read_summary
    (entry,) = job.read_summary
    assert entry["params"] == {"count": 30, "rows": list(range(3, 43, 2))}
    assert job.created == 30


@pytest.mark.django_db(transaction=True)
def test_a_new_check_starts_with_an_empty_read_summary():
    content = make_csv([make_row(1), HEADERS])
    job = check_job(make_job(content, check_first=True))
    assert [entry["code"] for entry in job.read_summary] == ["repeated_header"]

    changed = lifecycle.check_again(job.pk, {"read_options": {"delimiter": ";"}})

    assert changed.read_summary == []


@pytest.mark.django_db
def test_a_file_of_headers_and_totals_has_no_rows():
    job = run_import(make_csv([HEADERS, ["Total", "", "", "", "0"]]))

    assert (job.status, job.error_code) == ("FAILED", "no_rows")
