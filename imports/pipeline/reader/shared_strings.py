"""The strings that cells share: all of them in one piece of memory, which is bounded.

In a list each string would have a header of its own, often longer than the string.
"""

from array import array

from protocol import Refused

SHARE = 3  # One part of the memory in three is for strings.


class SharedStrings:
    def __init__(self, limits: dict) -> None:
        self.most_bytes = limits["memory_bytes"] // SHARE
        self.encoded = bytearray()
        self.ends = array("Q", [0])

    def append(self, string: str) -> None:
        self.encoded += string.encode(errors="surrogatepass")
        self.ends.append(len(self.encoded))
        if len(self.encoded) + len(self.ends) * self.ends.itemsize > self.most_bytes:
            raise MemoryError

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self.ends) - 1:
            raise Refused("damaged_file")
        string = self.encoded[self.ends[index] : self.ends[index + 1]]
        return string.decode(errors="surrogatepass")
