"""Memory as golden knows it, with the recent past of every word.

The engine reads memory over many cycles, and its events say only when a step took effect. So a value that a step reports is judged
against the values that the word held at some time in a window: since a tick (the checker's count of calls) until now.
"""

from collections import deque

__all__ = ["ADUE", "Memory", "features_key", "table_key", "vmas_key"]

_NEVER = 1 << 62
ADUE = 1
"""The bit of a space's features that says that hardware sets A and D."""


def table_key(space: int) -> int:
    """The pseudo address at which `SPACE.TABLE` of a space is kept: it has a past like any word."""
    return -2 * space - 1


def vmas_key(space: int) -> int:
    """The pseudo address of `SPACE.VMAS`."""
    return -2 * space - 2


def features_key(space: int) -> int:
    """The pseudo address of the features that `SPACE.TABLE` gives a space."""
    return -space - (1 << 32)


class Memory:
    """64-bit words by byte address; a word never written is 0.

    Attributes
    ----------
    words : the newest value of every word written so far.
    unsettled : addresses whose newest value was written by the engine and may not be visible yet (from commit to unlock).
    """

    __slots__ = ("_order", "_past", "unsettled", "words")

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.unsettled: dict[int, list[int]] = {}
        self._past: dict[int, list[list[int]]] = {}
        self._order: deque[tuple[int, int]] = deque()

    def read(self, address: int) -> int:
        """The newest value."""
        return self.words.get(address, 0)

    def write(self, address: int, value: int, now: int) -> None:
        """A write that is visible at once (software's)."""
        if address in self.unsettled:
            self.settle(address, now)
        old = self.words.get(address, 0)
        if old != value:
            self._past.setdefault(address, []).append([now, old])
            self._order.append((now, address))
        self.words[address] = value

    def write_unsettled(self, address: int, value: int, now: int) -> None:
        """A write of the engine: until `settle`, a read may find the old value or the new one."""
        if address in self.unsettled:
            self.settle(address, now)
        entry = [_NEVER, self.words.get(address, 0)]
        self._past.setdefault(address, []).append(entry)
        self.unsettled[address] = entry
        self.words[address] = value

    def settle(self, address: int, now: int) -> None:
        """The engine's write is visible."""
        entry = self.unsettled.pop(address, None)
        if entry is not None:
            entry[0] = now
            self._order.append((now, address))

    def revert(self, address: int) -> None:
        """The engine's write did not happen."""
        entry = self.unsettled.pop(address, None)
        if entry is not None:
            self.words[address] = entry[1]
            self._past[address].remove(entry)

    def held(self, address: int, value: int, since: int) -> bool:
        """The word had this value at some time after tick `since` (or has it)."""
        if self.words.get(address, 0) == value:
            return True
        past = self._past.get(address)
        return past is not None and any(until > since and old == value for until, old in past)

    def values(self, address: int, since: int) -> list[int]:
        """All values that the word had after tick `since`, newest first."""
        values = [self.words.get(address, 0)]
        past = self._past.get(address)
        if past is not None:
            values += [old for until, old in reversed(past) if until > since and old not in values]
        return values

    def forget(self, before: int) -> None:
        """Drop values that ended at tick `before` or earlier: no window reaches back to them."""
        order = self._order
        while order and order[0][0] <= before:
            address = order.popleft()[1]
            past = [entry for entry in self._past.get(address, ()) if entry[0] > before]
            if past:
                self._past[address] = past
            else:
                self._past.pop(address, None)
