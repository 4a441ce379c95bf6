"""The shared strings of a workbook, stored in one block of bounded memory.

In a list, each string would have a header of its own, which is often longer than the string.
"""

from array import array

from protocol import LimitValues, ReadError

MEMORY_DIVISOR = 3  # A third of the memory limit is for the strings.


class SharedStrings:
    def __init__(self, limits: LimitValues) -> None:
        self.max_bytes = limits["memory_bytes"] // MEMORY_DIVISOR
        self.encoded = bytearray()
        self.ends = array("Q", [0])

    def append(self, string: str) -> None:
        """Add a string.

        Raises:
            MemoryError: The strings take more memory than they may.
        """
        self.encoded += string.encode(errors="surrogatepass")
        self.ends.append(len(self.encoded))
        if len(self.encoded) + len(self.ends) * self.ends.itemsize > self.max_bytes:
            raise MemoryError

    def __getitem__(self, index: int) -> str:
        """Return the string at this index.

        Raises:
            ReadError: There is no such string.
        """
        if not 0 <= index < len(self.ends) - 1:
            raise ReadError("damaged_file")
        string = self.encoded[self.ends[index] : self.ends[index + 1]]
        return string.decode(errors="surrogatepass")
