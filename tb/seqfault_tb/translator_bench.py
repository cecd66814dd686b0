"""Testbench of the Translator with its Walker: requesters, a fake fault unit, and a checker of every answer.

Each change of the tables is announced by an invalidation in its cycle. So an answer must be what a walk gives at some moment from the
acceptance of its request to the answer: nothing older can be in a TLB.
"""

from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import Answer, InvalidateRecord, Request

from .axi_memory import ReorderingMemory
from .fake_fault_unit import FakeFaultUnit
from .fields import pack, unpack
from .page_walk import BARE, BUS_ERROR, LEAF, LEVELS, SV39, SV48, A, G, R, Tables, U, V, W, WalkEnd, X, permits, physical, walk
from .tlb_model import LEVEL_BITS, Invalidation, canonical
from .walk_memory import WalkMemory

__all__ = ["Bench", "Pending"]

OK, RETRY, FAULT = 0, 1, 2
TRANSLATED = 0
NO_REASON, BOUNDS, BUS_FAULT, BAD_TABLE = 0, 9, 16, 21
LOAD, STORE, FETCH = 0, 1, 2
VPN_MASK = (1 << 36) - 1
PAGE_FAULT = "page fault"
SETTLE_NS = 1


def extend(vpn: int) -> int:
    """A 36-bit page number to 52 bits, by its sign."""
    return vpn | (0xFFFF << 36 if vpn >> 35 else 0)


@dataclass(kw_only=True, eq=False)
class Pending:
    """A request on its way.

    `verdicts`: what walks since its acceptance gave: (status, reason, pa), or PAGE_FAULT. `tables`: of its space in that time.
    `faulted`: the fault unit has it. `promised`: (status, how, reason, pa) as the fault unit answered.
    """

    port: int
    va: int
    space: int
    access: int
    flags: int
    tag: int = -1
    issued: int = 0
    verdicts: set = field(default_factory=set)
    tables: set = field(default_factory=set)
    faulted: bool = False
    promised: tuple | None = None


class AxiTables:
    """Tables as the AXI memory model reads them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.failing = self

    def __contains__(self, address: int) -> bool:
        return self._tables.read(address) is None

    def __getitem__(self, address: int) -> int:
        return self._tables.read(address) or 0


class Bench:
    """Drives a TranslatorTop cycle by cycle.

    Parameters
    ----------
    ports, spaces : as configured. axi : memory is behind an AXI port.
    defects : share of malformed and failing entries. contexts : of the fake fault unit.
    """

    def __init__(self, dut: Any, seed: int, *, ports: int, spaces: int, axi: bool, defects: float = 0.05, contexts: int = 3) -> None:
        self.dut, self.rng, self.ports, self.out_of_range = dut, Random(seed), ports, spaces
        self.tables = Tables(self.rng, pages=4, indices=3, defects=defects)
        if axi:
            memory = ReorderingMemory(dut, "axi", AxiTables(self.tables), self.rng)  # type: ignore[arg-type]
            self._drive_memory, self._sample_memory = memory.drive, memory.sample
        else:
            self.memory = WalkMemory(dut, self.tables, self.rng)
            self._drive_memory = lambda: self.memory.drive(self.now)
            self._sample_memory = lambda: self.memory.sample(self.now)
        self.spaces: dict[int, tuple[int, int]] = {}
        self.waiting: list[list[Pending]] = [[] for _ in range(ports)]
        self.outstanding: list[dict[int, Pending]] = [{} for _ in range(ports)]
        self.ready = [0.8] * ports
        self.fault_unit = FakeFaultUnit(self, contexts)
        self.strike: Invalidation | None = None
        self.table_write: tuple[int, int, int] | None = None
        self.changed = False
        self.now = 0
        self.counts: dict[str, int] = {}
        self.latencies: list[int] = []
        self.hot: list[tuple[int, int]] = []

    async def start(self) -> None:
        """Reset, and give the spaces their tables."""
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        inputs = (
            "invalidate",
            "fill",
            "write_table",
            "faults__ready",
            "fault_answers__valid",
            "walk_request__valid",
            "walk_response__ready",
        )
        for name in inputs:
            getattr(dut, name).value = 0
        for port in range(self.ports):
            getattr(dut, f"requests__{port}__valid").value = 0
            getattr(dut, f"answers__{port}__ready").value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
            self._drive_memory()
        dut.rst.value = 0
        for space, mode in ((0, SV39), (1, SV48), (self.out_of_range - 1, SV39)):
            self.table_write = (space, mode, self.tables.root(mode))
            await self.cycle()
        await self.cycle()

    # --- what to do -------------------------------------------------------------------------------------------------

    def ask(self, port: int, space: int, va: int, access: int) -> None:
        """Queue a request."""
        self.waiting[port].append(Pending(port=port, va=va, space=space, access=access, flags=self.rng.getrandbits(4)))

    def ask_random(self, port: int) -> None:
        """Queue a request for some page; at times in no space, out of range, or not canonical."""
        rng = self.rng
        space, vpn = self._random_page()
        if rng.random() < 0.03:
            space = rng.choice((2, self.out_of_range, self.out_of_range + 1, 0x8000))
        va = extend(vpn) << 12 | rng.getrandbits(12)
        if rng.random() < 0.05:
            va ^= 1 << rng.randrange(39, 64)
        self.ask(port, space, va, rng.choice((LOAD, LOAD, STORE, FETCH)))

    def heat(self, pages: int) -> None:
        """From now on requests and changes are about so few pages (0: any again)."""
        self.hot = []
        self.hot = [self._random_page() for _ in range(pages)]

    def _random_page(self) -> tuple[int, int]:
        if self.hot:
            return self.rng.choice(self.hot)
        space = self.rng.choice(list(self.spaces))
        return space, self.tables.random_vpn(self.spaces[space][0])

    def change_page(self) -> None:
        """Change where a walk of some page ends, and announce it by an invalidation that covers no more than it must."""
        rng = self.rng
        space, vpn = self._random_page()
        mode = self.spaces[space][0]
        if mode == BARE or (mode == SV39 and not canonical(extend(vpn), LEVELS[SV39])):
            return
        end = self.walk(space, vpn)
        low = (1 << LEVEL_BITS * end.level) - 1
        if end.pte & V and not end.pte & (R | X):  # a malformed pointer
            self.strike = Invalidation(space=None, vpn=None)
        elif len(self._users(end.address, end.level)) > 1:
            self.strike = Invalidation(space=rng.choice((None, None if end.pte & G else space)), vpn=None)
            if self.strike.space is not None and {s for s, _ in self._users(end.address, end.level)} != {space}:
                self.strike = Invalidation(space=None, vpn=None)
        else:
            page = vpn ^ (rng.getrandbits(36) & low)
            self.strike = Invalidation(space=None if end.pte & G else space, vpn=page, mask=rng.choice((0, 1, 7)))
        leaf = V | rng.choice((R, R | W, R | X, X)) | rng.choice((0, G)) | U | A | rng.getrandbits(1) << 7 | (rng.getrandbits(44) & ~low) << 10
        self.tables.words[end.address] = rng.choice((leaf, leaf, leaf, 0, None))
        self.changed = True

    def _users(self, address: int, level: int) -> set[tuple[int, int]]:
        """The pages (of `level`) of all spaces whose walks end at this entry."""
        users = set()
        for space, (mode, _) in self.spaces.items():
            for indices in product(self.tables.indices, repeat=LEVELS.get(mode, 0)):
                vpn = sum(index << LEVEL_BITS * place for place, index in enumerate(indices))
                if self.walk(space, vpn).address == address:
                    users.add((space, vpn >> LEVEL_BITS * level))
        return users

    def change_space(self) -> None:
        """Give a space another table, maybe of another mode, maybe none; the invalidation follows when it can be seen."""
        mode = self.rng.choice((SV39, SV48, SV39, SV48, BARE))
        self.table_write = (self.rng.choice(list(self.spaces)), mode, self.tables.root(mode) if mode else 0)

    # --- the reference ----------------------------------------------------------------------------------------------

    def walk(self, space: int, vpn: int) -> WalkEnd:
        """The walk of a 36-bit page number now."""
        return walk(self.tables.read, *self.spaces.get(space, (BARE, 0)), vpn)

    def verdicts(self, pending: Pending) -> set:
        """What the request may be answered now.

        A walk that began in a table that its space had since the request may go on in it. While the mode changes, the address may have been
        judged by one mode and walked by the other.
        """
        pending.tables.add(self.spaces.get(pending.space, (BARE, 0)))
        changing = len({mode for mode, _ in pending.tables}) > 1
        return set().union(*(self._verdicts_in(pending, mode, root, changing) for mode, root in pending.tables))

    def _verdicts_in(self, pending: Pending, mode: int, root: int, changing: bool) -> set:
        if mode == BARE:
            return {(FAULT, BAD_TABLE, 0)}
        found = set()
        is_canonical = canonical(pending.va >> 12, LEVELS[mode])
        if not is_canonical:
            found.add((FAULT, BOUNDS, 0))
        if is_canonical or changing:
            end = walk(self.tables.read, mode, root, pending.va >> 12 & VPN_MASK)
            if end.outcome == LEAF and permits(end.pte, pending.access):
                found.add((OK, NO_REASON, physical(end.pte, end.level, pending.va)))
            else:
                found.add((FAULT, BUS_FAULT, 0) if end.outcome == BUS_ERROR else PAGE_FAULT)
        return found

    # --- cycle by cycle ---------------------------------------------------------------------------------------------

    async def cycle(self) -> None:
        """One clock cycle."""
        await FallingEdge(self.dut.clk)
        self.now += 1
        self.fault_unit.drive()
        if self.changed:
            for port in self.outstanding:
                for pending in port.values():
                    pending.verdicts |= self.verdicts(pending)
            self.changed = False
        self._drive()
        self._drive_memory()
        await Timer(SETTLE_NS, unit="ns")
        self._sample_memory()
        self.fault_unit.sample()
        for port in range(self.ports):
            self._sample_port(port)
        self.strike = None
        if self.table_write:
            space, mode, root = self.table_write
            self.spaces[space] = (mode, root)
            self.table_write, self.changed, self.strike = None, True, Invalidation(space=None, vpn=None)

    def _drive(self) -> None:
        dut, strike = self.dut, self.strike
        dut.invalidate.value = strike is not None
        if strike:
            dut.record.value = pack(InvalidateRecord, {
                "any_space": strike.space is None, "space": strike.space or 0, "any_page": strike.vpn is None,
                "vpn": strike.vpn or 0, "mask": strike.mask,
            })  # fmt: skip
        dut.write_table.value = self.table_write is not None
        if self.table_write:
            space, mode, root = self.table_write
            dut.write_space.value = space
            dut.write_data.value = mode << 60 | root
        for port in range(self.ports):
            offer = bool(self.waiting[port]) and len(self.outstanding[port]) < 500
            getattr(dut, f"requests__{port}__valid").value = offer
            if offer and self.waiting[port][0].tag < 0:
                pending = self.waiting[port][0]
                pending.tag = next(tag for tag in range(512) if tag not in self.outstanding[port])
                fields = {name: getattr(pending, name) for name in ("va", "space", "access", "tag")}
                flags = {name: pending.flags >> bit & 1 for bit, name in enumerate(("allow_retry", "tried", "nowait", "atomic"))}
                getattr(dut, f"requests__{port}__payload").value = pack(Request, fields | {"flags": flags})
            getattr(dut, f"answers__{port}__ready").value = self.rng.random() < self.ready[port]

    def _sample_port(self, port: int) -> None:
        dut = self.dut
        if getattr(dut, f"answers__{port}__valid").value and getattr(dut, f"answers__{port}__ready").value:
            self._check(port, unpack(Answer, int(getattr(dut, f"answers__{port}__payload").value)))
        if getattr(dut, f"requests__{port}__valid").value and getattr(dut, f"requests__{port}__ready").value:
            pending = self.waiting[port].pop(0)
            pending.issued = self.now
            pending.verdicts = self.verdicts(pending)
            self.outstanding[port][pending.tag] = pending

    def _check(self, port: int, answer: dict) -> None:
        assert answer["tag"] in self.outstanding[port], f"port {port}: answer to nobody: {answer}"
        pending = self.outstanding[port].pop(answer["tag"])
        if pending.faulted:
            got = (answer["status"], answer["how"], answer["reason"], answer["pa"])
            assert got == pending.promised, f"{got} for {pending}"
            kind = f"fault unit {answer['status']}"
        else:
            got = (answer["status"], answer["reason"], answer["pa"])
            assert answer["how"] == TRANSLATED, f"{answer} for {pending}"
            assert got in pending.verdicts, f"{got} for {pending}"
            kind = f"status {answer['status']} reason {answer['reason']}"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.latencies.append(self.now - pending.issued)

    def left(self, ports: range) -> int:
        """Requests of these ports that are not answered."""
        return sum(len(self.waiting[port]) + len(self.outstanding[port]) for port in ports)

    async def drain(self, patience: int = 4000) -> None:
        """Until all is answered."""
        self.ready = [1.0] * self.ports
        for _ in range(patience):
            if not self.left(range(self.ports)):
                break
            await self.cycle()
        assert not any(self.waiting), f"requests that were never taken: {self.waiting}"
        assert not any(self.outstanding), f"requests without an answer: {self.outstanding}"
