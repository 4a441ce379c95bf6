"""XML, element after element in bounded memory; a declaration of a document type is refused."""

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import iterparse

PIECE_BYTES = 1 << 20


def events(source: IO[bytes], whole: str) -> Iterator[tuple[str, Element]]:
    """Starts and ends of elements, nothing kept behind them but in an element named `whole`."""
    ancestors: list[Element] = []
    within = 0  # How deep in one that is kept until its end.
    pieces = _LargePieces(source)
    for event, element in iterparse(pieces, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            ancestors.append(element)
            within += bool(within) or local_name(element) == whole
        else:
            ancestors.pop()
            within -= bool(within)
        if not within:
            yield event, element
        if event == "end" and not within and ancestors:
            ancestors[-1].clear()


def elements(source: IO[bytes], name: str) -> Iterator[Element]:
    """The elements of that name, one by one."""
    for event, element in events(source, name):
        if event == "end" and local_name(element) == name:
            yield element


class _LargePieces:
    """A file that is read by the megabyte, however little is asked for.

    At each piece expat begins an unfinished tag or comment anew: in pieces of 16 KB, as
    ElementTree asks for, a comment of 70 MB keeps it busy for minutes.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source

    def read(self, _size: int) -> bytes:
        return self.source.read(PIECE_BYTES)


def local_name(element: Element) -> str:
    """Without its namespace: workbooks saved as "strict" have another one."""
    return element.tag.rpartition("}")[2]
