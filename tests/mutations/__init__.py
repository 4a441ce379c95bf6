"""Mutations: patches that each remove one guard, and the tests that must fail without it.

`make mutations` applies each patch to a copy of the project and runs its tests.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
HUNK = re.compile(r"^@@ .*\n", re.MULTILINE)


class PatchDoesNotApply(Exception):
    """The text that a patch replaces is not in its file, or more than once."""


class Mutation(NamedTuple):
    """A patch of one file. Each hunk is the old and the new text."""

    name: str
    guard: str  # What the patched code no longer ensures.
    tests: list[str]  # IDs of pytest.
    path: str  # Relative to the project.
    hunks: list[tuple[str, str]]

    def apply(self, project: Path) -> None:
        """Patch the file in this folder.

        Raises:
            PatchDoesNotApply: The code has changed since the patch was written.
        """
        file = project / self.path
        text = file.read_text()
        for old, new in self.hunks:
            if text.count(old) != 1:
                raise PatchDoesNotApply(
                    f"{self.name}: {self.path} has these lines {text.count(old)} times:\n{old}"
                )
            text = text.replace(old, new)
        file.write_text(text)


def list_mutations() -> list[Mutation]:
    return [read_mutation(path) for path in sorted(FOLDER.glob("*.patch"))]


def read_mutation(path: Path) -> Mutation:
    """Read a unified diff of one file, after lines that begin with "Guard:" and "Test:"."""
    head, _, diff = path.read_text().partition("\n--- a/")
    fields = [line.split(": ", 1) for line in head.splitlines() if line]
    names, hunks = diff.split("\n", 2)[:2], HUNK.split(diff)[1:]
    return Mutation(
        path.stem,
        next(value for name, value in fields if name == "Guard"),
        [value for name, value in fields if name == "Test"],
        names[0],
        [(_select(hunk, "-"), _select(hunk, "+")) for hunk in hunks],
    )


def _select(hunk: str, sign: str) -> str:
    """Return the unchanged lines of a hunk, and those with this sign."""
    return "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in (" ", sign))
