"""Find the rows below the header that hold records, and leave out the others.

Spreadsheets hold more than records: a header that is repeated, for example where two exports were
joined or a printed page starts; totals; a signature below the last row. Such a row is left out only
if it is the header itself, or if it would fail anyway because a required cell is empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from imports.cell_values import Cell
from imports.importer import Importer
from imports.pipeline.header_detection import DetectedColumns, get_cell_text
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.reader.headers import fold_text
from imports.pipeline.row_block import RowBlock

MAX_LABEL_CHARS = 100  # Of the cell that marks a total or a signature.
MAX_SIGNATURE_CELLS = 3  # Filled cells of such a row: label, name, date.
MAX_SIGNATURE_TEXTS = 2  # In columns of required fields: label and name.
MAX_SIGNATURE_WORDS = 3

# First words of a row with totals, folded.
TOTAL_WORDS = frozenset(
    {
        "total",
        "totals",
        "grandtotal",
        "subtotal",
        "subtotals",
        "sum",
        "sums",
        "count",
        "average",
        "gesamt",
        "gesamtsumme",
        "summe",
        "zwischensumme",
        "anzahl",
        "mittelwert",
        "totaux",
        "soustotal",
        "totalgeneral",
        "somme",
        "nombre",
        "moyenne",
        "totales",
        "suma",
        "recuento",
        "promedio",
        "totais",
        "soma",
        "contagem",
        "media",
        "totale",
        "totali",
        "somma",
        "conteggio",
        "totaal",
        "subtotaal",
        "som",
        "aantal",
        "razem",
        "lacznie",
        "sumaczesciowa",
        "toplam",
        "geneltoplam",
        "aratoplam",
        "итого",
        "всего",
        "сумма",
        "合计",
        "总计",
        "小计",
        "合計",
        "総計",
        "小計",
        "المجموع",
        "الاجمالي",
        "الإجمالي",
    }
)
# First words of a row with a signature or a remark, folded and without spaces.
SIGNATURE_PHRASES = frozenset(
    {
        "preparedby",
        "checkedby",
        "approvedby",
        "verifiedby",
        "signedby",
        "compiledby",
        "createdby",
        "reviewedby",
        "authorisedby",
        "authorizedby",
        "receivedby",
        "printedby",
        "exportedby",
        "printedon",
        "exportedon",
        "generatedon",
        "generatedby",
        "signature",
        "signed",
        "endofreport",
        "endoflist",
        "endoffile",
        "page1of",
        "confidential",
        "erstelltvon",
        "erstelltam",
        "gepruftvon",
        "genehmigtvon",
        "unterschrift",
        "gedrucktam",
        "seite1von",
        "prepareepar",
        "preparepar",
        "etablipar",
        "verifiepar",
        "approuvepar",
        "signepar",
        "imprimele",
        "exportele",
        "findufichier",
        "findelaliste",
        "elaboradopor",
        "preparadopor",
        "revisadopor",
        "aprobadopor",
        "firma",
        "firmado",
        "impresoel",
        "assinatura",
        "aprovadopor",
        "verificadopor",
        "preparatoda",
        "approvatoda",
        "opgestelddoor",
        "gecontroleerddoor",
        "handtekening",
        "sporzadzil",
        "zatwierdzil",
        "podpis",
        "hazirlayan",
        "onaylayan",
        "imza",
        "подпись",
        "составил",
        "проверил",
        "制表",
        "制表人",
        "审核",
        "审核人",
        "签字",
    }
)
PAGE_NUMBER = re.compile(
    r"(?:page|seite|pagina|strona|sayfa)[0-9]+(?:(?:of|von|sur|de|di|van|z)[0-9]+)?"
)
# A count or an amount, or a formula for one. Phone numbers and codes start with + or 0.
AMOUNT = re.compile(r"(?!\+|0\d)[\d\s.,'%()+-]+|=.*", re.DOTALL)


class RowFilter:
    """Leaves out the rows that hold no record, and adds them to the read summary."""

    def __init__(self, importer: type[Importer], columns: DetectedColumns) -> None:
        self._header = {
            index: name
            for index, header in enumerate(columns.headers)
            if (name := fold_text(header))
        }
        # The column with the first header, and the characters with which it may start.
        self._first_column = next(iter(self._header), 0)
        header = columns.headers[self._first_column] if self._header else ""
        initial = next(filter(str.isalnum, header), "")
        self._initials = frozenset({initial.upper(), initial.lower()})
        self._required = [columns.get_columns(c.field) for c in importer.columns if c.required]
        self._first_required = [indexes[0] for indexes in self._required if indexes]

    def keep_records(self, blocks: Sequence[RowBlock], summary: ReadSummary) -> list[RowBlock]:
        """Return the blocks without the rows that hold no record. Adds these to `summary`."""
        left_out: dict[str, list[int]] = {}
        records = []
        for block in blocks:
            numbers = set()
            for index in self._list_candidates(block):
                if code := self._find_reason(block.get_cells(index)):
                    left_out.setdefault(code, []).append(block.numbers[index])
                    numbers.add(block.numbers[index])
            records.append(block.drop(numbers))
        for code, rows in left_out.items():
            summary.add_rows(code, rows)
        return records

    def _list_candidates(self, block: RowBlock) -> list[int]:
        """Return the indexes of the rows that `_find_reason` has to check: few in most files."""
        candidates: set[int] = set()
        for column in self._first_required:
            if column >= len(block.columns):
                return list(range(len(block)))
            cells = block.columns[column]
            if not all(cells):
                candidates.update(index for index, cell in enumerate(cells) if not cell)
        if self._header and self._first_column < len(block.columns):
            candidates.update(
                index
                for index, cell in enumerate(block.columns[self._first_column])
                if type(cell) is str and self._may_begin_header(cell)
            )
        return sorted(candidates)

    def _may_begin_header(self, cell: str) -> bool:
        """Return whether the cell can be the first header, also after spaces and punctuation."""
        return cell[:1] in self._initials or not cell[:1].isalnum()

    def _find_reason(self, cells: list[Cell]) -> str | None:
        """Return why the row holds no record, as a code of the read summary.

        Returns None if the row may hold a record.
        """
        if self._has_required_cells(cells):
            return "repeated_header" if self._repeats_header(cells) else None
        first = next((cell for cell in cells if cell is not None), None)
        if not isinstance(first, str) or len(first) > MAX_LABEL_CHARS:
            return None
        texts = self._get_required_texts(cells)
        if is_total_label(first) and len(texts) <= 1:
            return "total_row"
        filled = sum(bool(get_cell_text(cell).strip()) for cell in cells)
        is_short = len(texts) <= MAX_SIGNATURE_TEXTS and filled <= MAX_SIGNATURE_CELLS
        return "signature_row" if is_short and is_signature(first) else None

    def _has_required_cells(self, cells: list[Cell]) -> bool:
        return all(column < len(cells) and cells[column] for column in self._first_required)

    def _repeats_header(self, cells: list[Cell]) -> bool:
        cell = cells[self._first_column] if self._first_column < len(cells) else None
        if type(cell) is not str or not self._header or not self._may_begin_header(cell):
            return False
        if fold_text(cell) != self._header.get(self._first_column):
            return False
        texts = {i: fold_text(cell) for i, cell in enumerate(cells) if type(cell) is str}
        return {index: text for index, text in texts.items() if text} == self._header

    def _get_required_texts(self, cells: list[Cell]) -> list[str]:
        """Return the values of required fields that are not numbers.

        A count, a sum or its formula may stand in any column. The label is often in a required one.
        """
        indexes = chain.from_iterable(self._required)
        texts = [get_cell_text(cells[i]).strip() for i in indexes if i < len(cells)]
        return [text for text in texts if text and not AMOUNT.fullmatch(text)]


def is_signature(text: str) -> bool:
    """Return whether the text is that of a signature, a page number or a remark.

    Examples: "Prepared by: Ama", "Checked by: ____", "Page 2 of 3", "Unterschrift".
    """
    words = [word for part in re.split(r"[\W_]+", text) if (word := fold_text(part))]
    phrases = {"".join(words[:count]) for count in range(1, MAX_SIGNATURE_WORDS + 1)}
    return not phrases.isdisjoint(SIGNATURE_PHRASES) or bool(PAGE_NUMBER.fullmatch("".join(words)))


def is_total_label(text: str) -> bool:
    """Return whether the text is the label of a total.

    Examples: "Total", "Grand total:", "Total customers", "Summe 2026", "Somme = 12".
    """
    words = [fold_text(word) for word in re.split(r"[\W\d_]+", text) if word]
    return bool(words) and not TOTAL_WORDS.isdisjoint((words[0], "".join(words[:2])))
