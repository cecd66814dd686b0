"""What the command unit must do, written from docs/software-contract.md: the events, memory and released entries of each command.

Shares no layout with the RTL: the numbers are the contract's.
"""

from dataclasses import dataclass, field
from random import Random

__all__ = ["CommandModel", "PageTables", "bits"]

PAGE, ENTRIES = 4096, 512
V, R, W, X = 1, 2, 4, 8
SV39, SV48 = 8, 9
VPN_BITS = 45
"""Width of a page number in bits, of which the upper ones repeat the sign."""
HALF_BITS = {SV39: 26, SV48: 35}
"""Page numbers of one half of the addresses of a mode, in bits."""
STEP = {
    "MM_LOCK": 32, "MM_UNLOCK": 33, "SEQ_BEGIN": 34, "SEQ_END": 35, "PTE_LOCK": 36, "PTE_CLEAR": 37, "PTE_PROTECT": 38, "PTE_UNLOCK": 39,
    "INVALIDATE": 40, "FENCE": 41, "SPACE_TABLE": 42, "SPACE_VMAS": 43, "ILLEGAL": 44, "SRCU_CALL": 47, "PAGE_RESPONSE": 48,
}  # fmt: skip
OUTCOME_ILLEGAL, OUTCOME_QUEUE_FULL = 20, 18
EXCLUSIVE = 1 << 8
WALK_LEAF, WALK_NONE, WALK_BUS_ERROR, WALK_NO_SPACE = 0, 1, 3, 4


def bits(word: int, low: int, high: int) -> int:
    """Bits `low` to `high` of a word, inclusive."""
    return word >> low & (1 << high - low + 1) - 1


class PageTables:
    """Sparse page tables in a word memory. `leaves`: per space the leaf tables by the first page that they map."""

    def __init__(self, words: dict[int, int], rng: Random, base: int = 0x10_0000_0000) -> None:
        self.words, self._rng, self._next = words, rng, base
        self.roots: dict[int, tuple[int, int]] = {}
        self.leaves: dict[int, dict[int, int]] = {}

    def table(self) -> int:
        """A new table, empty."""
        self._next += PAGE * self._rng.choice((1, 1, 2, 9))
        for index in range(ENTRIES):
            self.words[self._next + 8 * index] = 0
        return self._next

    def create(self, space: int, mode: int) -> int:
        """A new root for a space; returns its satp."""
        root = self.table()
        self.roots[space] = (mode, root)
        self.leaves[space] = {}
        return mode << 60 | root // PAGE

    def slot(self, space: int, vpn: int, level: int = 0) -> int:
        """Address of the entry of `level` for a page; tables above it are made."""
        mode, table = self.roots[space]
        for depth in range({SV39: 2, SV48: 3}[mode], level, -1):
            entry = table + 8 * (vpn >> 9 * depth & ENTRIES - 1)
            if not self.words[entry] & V:
                below = self.table()
                self.words[entry] = below // PAGE << 10 | V
                if depth == 1:
                    self.leaves[space][vpn & ~(ENTRIES - 1)] = below
            table = self.words[entry] >> 10 << 12
        return table + 8 * (vpn >> 9 * level & ENTRIES - 1)

    def map(self, space: int, vpn: int, level: int = 0) -> None:
        """A random leaf."""
        rights = self._rng.choice((R, X, R | W, R | X, R | W | X))
        other = self._rng.choice((0x10, 0xD0, 0x50, 0xF0 | 0x100))
        frame = self._rng.getrandbits(40) >> 9 * level << 9 * level
        self.words[self.slot(space, vpn, level)] = frame << 10 | other | rights | V

    def walk(self, space: int, vpn: int) -> dict[str, int]:
        """What the walker answers."""
        if space not in self.roots:
            return {"outcome": WALK_NO_SPACE, "level": 0, "pte": 0, "pte_addr": 0}
        mode, table = self.roots[space]
        level = {SV39: 2, SV48: 3}[mode]
        while True:
            address = table + 8 * (vpn >> 9 * level & ENTRIES - 1)
            entry = self.words[address]
            if not entry & V or entry & (R | X) or level == 0:
                outcome = WALK_LEAF if entry & V else WALK_NONE
                return {"outcome": outcome, "level": level, "pte": entry, "pte_addr": address}
            table, level = entry >> 10 << 12, level - 1


@dataclass
class CommandModel:
    """State that commands change; `execute` returns a command's events, and collects what goes to the released ring, to SRCU and to the ports.

    SRCU refuses the calls with an odd cookie.
    """

    tables: PageTables
    spaces: int
    chunk: int
    ports: int
    locked: set[int] = field(default_factory=set)
    generations: dict[int, int] = field(default_factory=dict)
    writers: dict[int, int] = field(default_factory=dict)
    modes: dict[int, int] = field(default_factory=dict)
    released: list[tuple[int, int, int]] = field(default_factory=list)
    lines: list[tuple[int, int]] = field(default_factory=list)
    calls: list[tuple[int, int]] = field(default_factory=list)
    """Space and cookie."""
    responses: list[tuple[int, int, int]] = field(default_factory=list)
    """Port, tag, code."""
    words: dict[int, int] = field(default_factory=dict)
    """Leaf entries as they must be in the end."""

    def sequence(self, vma_id: int) -> int:
        return self.generations.get(vma_id, 0) << 1 | (self.writers.get(vma_id, 0) != 0)

    def execute(self, word0: int, word1: int) -> list[dict[str, int]]:
        """Events of the command in order; the last one is ILLEGAL if it is refused."""
        opcode, func3 = bits(word0, 0, 6), bits(word0, 7, 9)
        handler = {
            1: self._invalidate, 2: self._fence, 4: self._ats, 64: self._sequence, 65: self._sweep, 66: self._mm, 67: self._space, 68: self._srcu,
        }.get(opcode)  # fmt: skip
        events = handler(func3, word0, word1) if handler else None
        return [event("ILLEGAL", outcome=OUTCOME_ILLEGAL, data=word0)] if events is None else events

    def _invalidate(self, func3: int, word0: int, word1: int) -> list | None:
        space, pscv = bits(word0, 12, 31), bits(word0, 32, 32)
        if func3 or bits(word0, 11, 11) or bits(word0, 33, 63) or bits(word1, 0, 8) or bits(word1, 62, 63) or (pscv and space >= self.spaces):
            return None
        seen = {"space": space if pscv else 0xFFFF}
        if bits(word0, 10, 10):
            page, pages = bits(word1, 10, 61), 1
            if bits(word1, 9, 9):
                pages = 2
                while page & pages >> 1:
                    pages <<= 1
            pages = min(pages, 1 << 52)
            seen |= {"vpn": (page & ~(pages - 1)) & (1 << 48) - 1, "data": pages}
        return [event("INVALIDATE", **seen)]

    def _fence(self, func3: int, word0: int, word1: int) -> list | None:
        if func3 or bits(word0, 14, 31) or (bits(word0, 10, 10) and (word1 & 1 or word1 >> 54)):
            return None
        if bits(word0, 10, 10):
            self.words[word1 << 2] = word0 >> 32
        return [event("FENCE", data=bits(word0, 12, 12))]

    def _named(self, word0: int, rights: bool = False) -> bool:
        fits = bits(word0, 12, 27) < self.spaces and not bits(word0, 10, 11)
        return fits and (rights or not (bits(word0, 28, 31) or bits(word0, 32, 63)))

    def _srcu(self, func3: int, word0: int, word1: int) -> list | None:
        if func3 or not self._named(word0):
            return None
        space = bits(word0, 12, 27)
        self.calls.append((space, word1))
        return [event("SRCU_CALL", space=space, data=word1, outcome=OUTCOME_QUEUE_FULL if word1 & 1 else 0)]

    def _ats(self, func3: int, word0: int, word1: int) -> list | None:
        space, port, tag, code = bits(word0, 12, 31), bits(word0, 40, 55), bits(word1, 32, 40), bits(word1, 44, 47)
        reserved = bits(word0, 10, 11) or bits(word0, 33, 39) or bits(word0, 56, 63)
        reserved = reserved or bits(word1, 0, 31) or bits(word1, 41, 43) or bits(word1, 48, 63)
        if func3 != 1 or reserved or not bits(word0, 32, 32) or space >= self.spaces or port >= self.ports:
            return None
        self.responses.append((port, tag, code))
        return [event("PAGE_RESPONSE", space=space, id=port, vpn=tag, data=code)]

    def _sequence(self, func3: int, word0: int, word1: int) -> list | None:
        space = bits(word0, 12, 27)
        if not self._named(word0) or func3 > 1 or space not in self.locked or word1 >> 16 or (func3 and not self.writers.get(word1)):
            return None
        self.writers[word1] = self.writers.get(word1, 0) + (-1 if func3 else 1)
        self.generations[word1] = self.generations.get(word1, 0) + (0 if func3 else 1)
        return [event("SEQ_END" if func3 else "SEQ_BEGIN", space=space, id=word1, seq=self.sequence(word1))]

    def _mm(self, func3: int, word0: int, word1: int) -> list | None:
        space = bits(word0, 12, 27)
        if not self._named(word0) or func3 > 1 or word1 or (space in self.locked) != func3:
            return None
        self.locked ^= {space}
        return [event("MM_UNLOCK" if func3 else "MM_LOCK", space=space)]

    def _space(self, func3: int, word0: int, word1: int) -> list | None:
        space = bits(word0, 12, 27)
        if func3:
            return [event("SPACE_VMAS", space=space, data=word1)] if func3 == 1 and self._named(word0) else None
        if not self._named(word0 & ~(7 << 28)) or word1 >> 60 not in (0, 1, 8, 9, 10) or bits(word1, 44, 59):
            return None
        self.modes[space] = word1 >> 60
        return [event("SPACE_TABLE", space=space, id=bits(word0, 28, 30), data=word1)]

    def _sweep(self, func3: int, word0: int, word1: int) -> list | None:
        space, rights, first, share = bits(word0, 12, 27), bits(word0, 28, 30), word1, bits(word0, 31, 31)
        if not self._named(word0, rights=True) or func3 > 1 or space not in self.locked or first >> VPN_BITS:
            return None
        half = HALF_BITS.get(self.modes.get(space), VPN_BITS)
        if (rights in (0, 2, 6) if func3 else rights or share) or first >> half not in (0, (1 << VPN_BITS - half) - 1):
            return None
        end = min(first + bits(word0, 32, 63), 1 << (half if first < 1 << half else VPN_BITS))
        events: list[dict[str, int]] = []
        for base, table in sorted(self.tables.leaves.get(space, {}).items()):
            for start in range(base, base + ENTRIES, self.chunk):
                pages = range(max(first, start), min(end, start + self.chunk))
                if pages:
                    events += self._chunk(space, table, pages, rights if func3 else None, EXCLUSIVE * share)
        return events

    def _chunk(self, space: int, table: int, pages: range, rights: int | None, cleared: int) -> list[dict[str, int]]:
        events = [event("PTE_LOCK", addr=table)]
        lines = {}
        for page in pages:
            address = table + 8 * (page % ENTRIES)
            old = self.words.get(address, self.tables.words[address])
            if not old & V or not old & (R | X):
                continue
            new = 0 if rights is None else old & ~(R | W | X | cleared) | rights << 1
            self.words[address] = new
            where = {"space": space, "vpn": page, "addr": address}
            events.append(event("PTE_CLEAR", **where, data=old) if rights is None else event("PTE_PROTECT", **where, data=new))
            if rights is None:
                self.released.append((old, page, space))
            lines[space, page // 8] = None
        self.lines += lines
        return [*events, event("PTE_UNLOCK", addr=table)]


def event(step: str, **seen: int) -> dict[str, int]:
    """An event of the command unit; fields not named are 0."""
    blank = dict.fromkeys(("outcome", "space", "vpn", "id", "seq", "addr", "data"), 0)
    return {"first": STEP[step], "last": STEP[step], "agent": 63} | blank | seen
