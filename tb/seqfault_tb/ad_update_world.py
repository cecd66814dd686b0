"""Page tables for tests of A/D updates: leaves that need one, other writers, and what the golden model says of them."""

from random import Random
from typing import NamedTuple

from seqfault_golden.layout import Access
from seqfault_golden.translate import BusError, Cause, Features, PagingMode, Privilege, Refusal, Translation, translate

from .memory_ports import WORD_BYTES, WordMemory

__all__ = ["Asked", "World", "page_size"]

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
RSW, PPN_SHIFT = 1 << 8, 10
ALL_FEATURES = Features(adue=True, pbmte=True, napot=True)
LEVEL_TABLES = {PagingMode.SV32: (0x310, 0x311), PagingMode.SV39: (0x320, 0x321, 0x322)}
"""Page numbers of a space's tables, the root first."""
LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE = range(5)
_OUTCOMES = {Cause.NOT_VALID: NONE, Cause.BUS_ERROR: BUS_ERROR, Cause.MALFORMED: MALFORMED, Cause.NO_LEAF: MALFORMED, Cause.MISALIGNED: MALFORMED}
_SIZES = {PagingMode.SV32: (0, 3), PagingMode.SV39: (0, 2, 4)}
"""PageSize by level."""
NAPOT_SIZE = 1


def page_size(mode: PagingMode, level: int, entry: int) -> int:
    """The `PageSize` of a leaf."""
    return NAPOT_SIZE if mode is PagingMode.SV39 and entry >> 63 else _SIZES[mode][level]


class Asked(NamedTuple):
    """An access, and what the Translator knew of it."""

    mode: PagingMode
    va: int
    access: Access
    supervisor: bool
    sum: bool
    mxr: bool
    found: Translation
    stale: bool
    walk_first: bool


class World:
    """Tables of an Sv32 and an Sv39 space in `memory`; every table has entries for a few indices.

    Members
    -------
    features : what the walker says of the spaces; `gone` : they have no tables any more.
    """

    def __init__(self, memory: WordMemory, rng: Random) -> None:
        self.memory, self.rng = memory, rng
        self.features, self.gone = ALL_FEATURES, False
        for tables in LEVEL_TABLES.values():
            for table in tables:
                for address in range(table << 12, table + 1 << 12, WORD_BYTES):
                    memory[address] = 0

    def load(self, mode: PagingMode, address: int) -> int:
        """The entry at a byte address. Raises `BusError`."""
        word = address & -WORD_BYTES
        if word in self.memory.failing or word not in self.memory.words:
            raise BusError
        return self.memory[word] >> 8 * (address - word) & (1 << 8 * mode.ptesize) - 1

    def store(self, mode: PagingMode, address: int, entry: int) -> None:
        word, shift = address & -WORD_BYTES, 8 * (address % WORD_BYTES)
        mask = (1 << 8 * mode.ptesize) - 1 << shift
        self.memory[word] = self.memory[word] & ~mask | entry << shift & mask

    def translate(self, asked: Asked) -> Translation | Refusal:
        """What the golden model says of the access now."""
        return translate(
            asked.mode, LEVEL_TABLES[asked.mode][0], asked.va, asked.access, lambda address: self.load(asked.mode, address),
            privilege=Privilege.SUPERVISOR if asked.supervisor else Privilege.USER, sum=asked.sum, mxr=asked.mxr, features=self.features,
        )  # fmt: skip

    def walk(self, asked: Asked) -> tuple[dict[str, int], Translation | Refusal | None]:
        """A walker's response now (without tag and staleness), and what the golden model says; None: there is no table."""
        if self.gone:
            return {"outcome": NO_SPACE}, None
        result = self.translate(asked)
        address = result.reads[-1]
        outcome = _OUTCOMES.get(result.cause, LEAF) if isinstance(result, Refusal) else LEAF
        response = {"outcome": outcome, "pte_addr": address, "adue": int(self.features.adue), "sv32": int(asked.mode is PagingMode.SV32)}
        if outcome != BUS_ERROR:
            response["pte"] = self.load(asked.mode, address)
        if outcome == LEAF:
            level = asked.mode.levels - len(result.reads)
            response |= {"level": level, "size": page_size(asked.mode, level, response["pte"])}
        return response, result

    def ask(self) -> Asked:
        """An access to a fresh leaf that needs A or D."""
        rng = self.rng
        mode = rng.choice((PagingMode.SV32, PagingMode.SV39))
        access = rng.choice(list(Access))
        supervisor, sum_, mxr = (rng.random() < 0.4 for _ in range(3))
        va = self._link(mode, rng.choice((0, 0, 0, 1)))
        right = {Access.LOAD: R, Access.STORE: R | W, Access.FETCH: X}[access]
        if access is Access.LOAD and mxr and rng.random() < 0.5:
            right = X
        user = (sum_ and access is not Access.FETCH and rng.random() < 0.5) if supervisor else True
        used = rng.choice((0, A, D)) if access is Access.STORE else rng.choice((0, D))
        flags = V | right | rng.choice((0, X)) | U * user | used | rng.getrandbits(2) << 8
        asked = Asked(mode, va, access, supervisor, sum_, mxr, None, rng.random() < 0.1, rng.random() < 0.1)  # type: ignore[arg-type]
        self.store(mode, self.leaf_address(asked), self._leaf(mode, self._level, flags))
        found = self.translate(asked)
        assert isinstance(found, Translation), found
        assert found.update, found
        return asked._replace(found=found)

    def _link(self, mode: PagingMode, level: int) -> int:
        """Pointers down to `level`; a va below them."""
        tables, va, self._level = LEVEL_TABLES[mode], self.rng.getrandbits(12), level
        for i in range(mode.levels):
            index = self.rng.choice((0, 1, 2, 3))
            va |= index << 12 + mode.index_bits * i
            if i > level:
                position = mode.levels - 1 - i
                self.store(mode, (tables[position] << 12) + index * mode.ptesize, V | tables[position + 1] << PPN_SHIFT)
        return va

    def leaf_address(self, asked: Asked) -> int:
        table = LEVEL_TABLES[asked.mode][asked.mode.levels - 1 - self._level]
        return (table << 12) + asked.mode.vpn(asked.va, self._level) * asked.mode.ptesize

    def _leaf(self, mode: PagingMode, level: int, flags: int) -> int:
        ppn = self.rng.getrandbits(22 if mode is PagingMode.SV32 else 44) >> mode.index_bits * level << mode.index_bits * level
        if mode is PagingMode.SV32:
            return flags | ppn << PPN_SHIFT
        if level == 0 and self.rng.random() < 0.3:
            flags, ppn = flags | 1 << 63, ppn & ~0xF | 8
        return flags | ppn << PPN_SHIFT | self.rng.choice((0, 1, 2)) << 61

    def interfere(self, asked: Asked) -> None:
        """Another writer: mostly of the leaf, sometimes of its neighbour or of an entry above it."""
        rng, address = self.rng, self.leaf_address(asked)
        try:
            entry = self.load(asked.mode, address)
        except BusError:
            return
        kind = rng.random()
        if kind < 0.15:
            self.store(asked.mode, address ^ asked.mode.ptesize, rng.getrandbits(8 * asked.mode.ptesize))
        elif kind < 0.2:
            table = LEVEL_TABLES[asked.mode][0] << 12
            self.store(asked.mode, table + asked.mode.vpn(asked.va, asked.mode.levels - 1) * asked.mode.ptesize, rng.choice((0, W | V)))
        elif kind < 0.3:
            self.store(asked.mode, address, rng.choice((0, entry & ~R | W, entry & ~(R | W | X), V | LEVEL_TABLES[asked.mode][-1] << PPN_SHIFT)))
        elif kind < 0.45:
            self.store(asked.mode, address, entry ^ rng.choice((R, W, X, U, V)))
        elif kind < 0.6:
            self.store(asked.mode, address, entry | rng.choice((A, D, A | D)))
        else:
            self.store(asked.mode, address, entry ^ rng.choice((RSW, G)))

    def disturb(self, asked: Asked) -> None:
        """Another writer that changes nothing but the leaf's RSW."""
        address = self.leaf_address(asked)
        self.store(asked.mode, address, self.load(asked.mode, address) ^ RSW)
