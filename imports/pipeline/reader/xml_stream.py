"""XML, parsed element by element in bounded memory. Document type declarations are forbidden."""

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import iterparse

XML_READ_BYTES = 1 << 20


def iter_events(source: IO[bytes], kept_name: str) -> Iterator[tuple[str, Element]]:
    """Yield the start and the end of each element.

    kept_name: an element of this local name keeps its content until its end, and no events are
        yielded for that content. All other elements are emptied when their parent needs them no
        more.
    """
    ancestors: list[Element] = []
    kept_depth = 0  # Number of open elements from the kept one on; 0 outside of it.
    reads = _LargeReads(source)
    for event, element in iterparse(reads, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            ancestors.append(element)
            kept_depth += bool(kept_depth) or get_local_name(element) == kept_name
        else:
            ancestors.pop()
            kept_depth -= bool(kept_depth)
        if not kept_depth:
            yield event, element
        if event == "end" and not kept_depth and ancestors:
            ancestors[-1].clear()


def iter_elements(source: IO[bytes], name: str) -> Iterator[Element]:
    """Yield the elements of this local name with their content, one by one."""
    for event, element in iter_events(source, name):
        if event == "end" and get_local_name(element) == name:
            yield element


class _LargeReads:
    """A file that returns a megabyte for each read, regardless of the requested size.

    With every read, expat parses an unfinished tag or comment again from its start. ElementTree
    reads 16 KB at a time: with that size a comment of 70 MB takes minutes.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source

    def read(self, size: int = -1, /) -> bytes:
        return self.source.read(XML_READ_BYTES)


def get_local_name(element: Element) -> str:
    """Return the name without its namespace. Strict workbooks use other namespaces."""
    return element.tag.rpartition("}")[2]
