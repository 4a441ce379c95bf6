"""Which values of an import are hidden from a person: those of its sensitive columns.

`Column(sensitive=True)` declares a sensitive column. `imports.permissions` decides who sees the
values; this module hides them from everyone else, in errors, samples and previews. A file that
leaves the site is never masked: it is complete, or it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.utils.translation import override

from imports.error_messages import ROW_MESSAGES
from imports.importer import get_importer_or_placeholder, has_hook, is_registered

# What takes the place of a hidden value, in every language.
HIDDEN_VALUE = "•••"

# By code: the parameters of row errors that hold no value of the row. Those of other errors, such
# as the errors of a function of the importer, may quote the cell.
VALUE_FREE_PARAMETERS = {
    "too_short": {"limit"},
    "too_long": {"limit"},
    "too_many_decimals": {"limit"},
    "too_many_digits": {"limit"},
    "too_small": {"limit"},
    "too_large": {"limit"},
    "ambiguous_lookup": {"count"},
    "matches_several": {"count"},
    "repeats_row": {"row"},
    "invalid_choice": {"choices"},
    "rule_failed": {"error"},
    "row_rule_failed": {"error"},
    "wrong_clean_result": {"rule", "returned"},
    "wrong_prepare_result": {"rule", "returned"},
    "wrong_check_row_result": {"rule", "returned"},
    "wrong_check_row_field": {"rule"},
    "database_error": {"sqlstate", "constraint"},
}


@dataclass(frozen=True)
class ValueMask:
    """Which values of one import are hidden.

    Attributes:
        shown_fields: The fields whose values are shown; None if every value is shown.
        has_row_rule: Whether an error of one column may quote the values of other columns.
    """

    shown_fields: frozenset[str] | None = None
    has_row_rule: bool = False

    @property
    def hides_values(self) -> bool:
        return self.shown_fields is not None

    def hides(self, field: str | None) -> bool:
        """Whether the values of a field are hidden. None stands for the row as a whole."""
        return self.shown_fields is not None and field not in self.shown_fields

    def mask_value(self, field: str | None, value: Any) -> Any:
        """Return the value, or what is shown instead of it. An empty value is shown as it is."""
        return HIDDEN_VALUE if self.hides(field) and value not in (None, "") else value

    def mask_error(self, error: Mapping[str, Any]) -> dict[str, Any]:
        """Return a stored error of a row without hidden values."""
        field = error["field"]
        if not self.hides(field) and not (self.hides_values and self.has_row_rule):
            return dict(error)
        value_free = VALUE_FREE_PARAMETERS.get(error["code"], set())
        masked = {
            **error,
            "value": self.mask_value(field, error["value"]),
            "params": {
                name: value if name in value_free else HIDDEN_VALUE
                for name, value in error["params"].items()
            },
        }
        if masked.pop("message", None):
            # A validator may have written the value into its message.
            with override("en"):
                masked["message"] = str(ROW_MESSAGES["invalid"])
        return masked

    def mask_samples(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `detected_columns` of an import without hidden samples.

        Only columns that fill a field whose values are shown keep their samples. A column that was
        not recognised may be the sensitive one.
        """
        if self.shown_fields is None:
            return dict(columns)
        shown = {columns["positions"].get(field) for field in self.shown_fields}
        for joined in (columns.get("equals", {}), columns.get("fallbacks", {})):
            shown |= set(chain(*(joined.get(field, ()) for field in self.shown_fields)))
        samples = [
            values if index in shown else [HIDDEN_VALUE for value in values if value]
            for index, values in enumerate(columns.get("samples", ()))
        ]
        return {**columns, "samples": samples}


# Hides nothing.
SHOW_ALL = ValueMask()


def make_value_mask(importer_name: str) -> ValueMask:
    """Return what is hidden of imports of this importer from people without permission.

    If the importer is not installed any more, nobody knows which of its columns were sensitive, and
    all values are hidden. The same holds for a field that is no column of the importer any more.
    """
    importer = get_importer_or_placeholder(importer_name)
    shown = frozenset(column.field for column in importer.columns if not column.sensitive)
    if is_registered(importer_name) and len(shown) == len(importer.columns):
        return SHOW_ALL
    return ValueMask(shown, has_row_rule=has_hook(importer, "check_row"))
