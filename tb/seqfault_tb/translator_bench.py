"""Testbench of the Translator with its Walker: requesters, a fake fault unit, and a checker of every answer.

Each change of the tables by software is announced by an invalidation in its cycle. So an answer must be what a walk gives at some moment
from the acceptance of its request to the answer: nothing older can be in a TLB.
"""

from random import Random
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import Answer, InvalidateRecord, Request
from seqfault_rtl.space_table import SpaceFeatures

from .axi_memory import ReorderingMemory
from .fake_fault_unit import FakeFaultUnit
from .fields import pack, unpack
from .page_tables import Tables
from .page_walk import LEAF, SV32, SV39, SV48, SV57, A, D, Space, sign_extended
from .tlb_model import Invalidation
from .translator_model import OK, Pending, World
from .walk_memory import AxiTables, UpdateMemory, WalkMemory

__all__ = ["FETCH", "LOAD", "STORE", "Bench"]

LOAD, STORE, FETCH = 0, 1, 2
TRANSLATED = 0
FLAGS = ("allow_retry", "tried", "nowait", "atomic")
SETTLE_NS = 1


class Bench:
    """Drives a TranslatorTop cycle by cycle.

    Parameters
    ----------
    ports, spaces, levels, sv32, svadu : as configured. has_l2 : there is an L2 TLB. axi : memory is behind an AXI port.
    defects : share of malformed and failing entries. contexts : of the fake fault unit.
    """

    def __init__(
        self, dut: Any, seed: int, *, ports: int, spaces: int, levels: int, sv32: bool, svadu: bool, has_l2: bool, axi: bool,
        defects: float = 0.05, contexts: int = 6,
    ) -> None:  # fmt: skip
        self.dut, self.rng, self.ports, self.out_of_range, self._has_l2 = dut, Random(seed), ports, spaces, has_l2
        self.tables = Tables(self.rng, pages=4, indices=3, defects=defects, branches=0.75)
        self.world = World(self.tables)
        if axi:
            memory = ReorderingMemory(dut, "axi", AxiTables(self.tables), self.rng)  # type: ignore[arg-type]
            self._memories = [(lambda now: memory.drive(), lambda now: memory.sample())]
        else:
            self.memory = WalkMemory(dut, self.tables, self.rng)
            self._memories = [(self.memory.drive, self.memory.sample)]
        self.updates = UpdateMemory(dut, self.tables, self.rng, self._swapped)
        self._memories.append((self.updates.drive, self.updates.sample))
        self._plan_spaces([SV39, SV48, SV57][: levels - 2] + [SV32] * sv32, svadu)
        self.waiting: list[list[Pending]] = [[] for _ in range(ports)]
        self.outstanding: list[dict[int, Pending]] = [{} for _ in range(ports)]
        self.withdrawn: list[Pending] = []
        self.withdrawing: set[int] = set()
        self.ready = [0.8] * ports
        self.fault_unit = FakeFaultUnit(self, contexts)
        self.strike: Invalidation | None = None
        self.table_write: tuple[int, Space] | None = None
        self.changed = False
        self.last_change = 0
        self.busy = True
        self.now = 0
        self.counts: dict[str, int] = {}
        self.latencies: list[int] = []
        self.answered = [0] * ports
        self.swaps = [0, 0]
        self.hot: list[tuple[int, int]] = []

    def _plan_spaces(self, modes: list[int], svadu: bool) -> None:
        """Modes and features; the first space is Sv39 without any of them. What extensions a space has does not change."""
        numbers = [0, 1, self.out_of_range - 1, *range(3, self.out_of_range - 1)]
        features = ((False, False, False), (True, True, True), (True, False, False), (False, True, False), (True, False, True))
        count = min(len(numbers), 2 * len(modes))
        self.features = {number: features[place % len(features)] for place, number in enumerate(numbers[:count])}
        self.features = {number: (adue and svadu, pbmte, napot) for number, (adue, pbmte, napot) in self.features.items()}
        self.modes = modes
        self.plan = {number: modes[place % len(modes)] for place, number in enumerate(self.features)}

    async def start(self) -> None:
        """Reset, and give the spaces their tables."""
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        for name in ("invalidate", "fill", "write_table", "faults__ready", "fault_answers__valid", "walk_request__valid", "walk_response__ready"):
            getattr(dut, name).value = 0
        for port in range(self.ports):
            for name in (f"requests__{port}__valid", f"answers__{port}__ready", f"withdraw__{port}"):
                getattr(dut, name).value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
            for drive, _sample in self._memories:
                drive(0)
        dut.rst.value = 0
        for number, mode in self.plan.items():
            await self.idle()
            self.table_write = (number, self.new_space(number, mode))
            await self.cycle()
        await self.idle()

    async def idle(self) -> None:
        """Until an invalidation may be made."""
        for _ in range(10000):
            await self.cycle()
            if self.may_strike:
                return
        raise AssertionError("busy for ever")

    # --- what to do -------------------------------------------------------------------------------------------------

    def new_space(self, number: int, mode: int) -> Space:
        """The space with some root table."""
        adue, pbmte, napot = self.features[number]
        return Space(mode=mode, root=self.tables.root(mode) if mode else 0, adue=adue, pbmte=pbmte, napot=napot)

    def ask(self, port: int, space: int, va: int, access: int, **privilege: int) -> None:
        """Queue a request; `privilege`: supervisor, sum, mxr."""
        self.waiting[port].append(Pending(port=port, va=va, space=space, access=access, flags=self.rng.getrandbits(4), **privilege))

    def ask_random(self, port: int) -> None:
        """Queue a request for some page; at times in no space, out of range, or not canonical."""
        rng = self.rng
        space, vpn = self.random_page()
        if rng.random() < 0.03:
            space = rng.choice((2, self.out_of_range, self.out_of_range + 1, 0x8000))
        va = sign_extended(vpn, self.world.space(space).mode, 52) << 12 | rng.getrandbits(12)
        if rng.random() < 0.05:
            va ^= 1 << rng.randrange(32, 64)
        privilege = {name: rng.getrandbits(1) for name in ("supervisor", "sum", "mxr")}
        if rng.random() < 0.5:
            privilege = {"mxr": rng.random() < 0.1}
        self.ask(port, space, va, rng.choice((LOAD, LOAD, STORE, FETCH)), **privilege)

    def heat(self, pages: int) -> None:
        """From now on requests and changes are about so few pages (0: any again)."""
        self.hot = []
        self.hot = [self.random_page() for _ in range(pages)]

    def random_page(self) -> tuple[int, int]:
        """A space and a page number there."""
        if self.hot:
            return self.rng.choice(self.hot)
        for _ in range(self.rng.choice((1, 4))):  # rather one that is mapped
            space = self.rng.choice(list(self.world.spaces))
            vpn = self.tables.random_vpn(self.world.space(space).mode)
            if self.world.walk(space, vpn).outcome == LEAF:
                break
        return space, vpn

    @property
    def may_strike(self) -> bool:
        """An invalidation may be made in the next cycle, and so a change."""
        return not self.busy and self.strike is None and self.table_write is None

    def note_change(self) -> None:
        """Software has changed memory."""
        self.changed, self.last_change = True, self.now

    def _swapped(self, address: int, old: int, new: int) -> None:
        """A and D are set for a request that wants them, and nothing else changes."""
        dirty = bool(new & ~old & D)
        asked = self._on_their_way()
        assert new == old | A | (new & D), f"update of {old:#x} to {new:#x}"
        wanted = any(self.world.allows_update(pending, address, dirty=dirty, moved=self.last_change >= pending.issued) for pending in asked)
        assert wanted, f"{old:#x} became {new:#x} at {address:#x}: nobody asked for that"
        self.world.note_update(address, old)
        self.swaps = [self.swaps[0] + bool(new & ~old & A), self.swaps[1] + dirty]
        self.changed = True

    # --- cycle by cycle ---------------------------------------------------------------------------------------------

    async def cycle(self) -> None:
        """One clock cycle."""
        await FallingEdge(self.dut.clk)
        self.now += 1
        self.fault_unit.drive()
        self._note_verdicts()
        self._drive()
        for drive, _ in self._memories:
            drive(self.now)
        await Timer(SETTLE_NS, unit="ns")
        for _, sample in self._memories:
            sample(self.now)
        self.fault_unit.sample()
        for port in range(self.ports):
            self._sample_port(port)
        self.withdrawing.clear()
        self.busy = bool(self.dut.busy.value) or (self.strike is not None and self._has_l2)
        self.strike = None
        if self.table_write:
            number, space = self.table_write
            self.world.spaces[number] = space
            self.table_write, self.strike = None, Invalidation(space=None, vpn=None)
            self.note_change()

    def _note_verdicts(self) -> None:
        if self.changed:
            for pending in self._on_their_way():
                pending.verdicts |= self.world.verdicts(pending)
            self.changed = False

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
            number, space = self.table_write
            dut.write_space.value = number
            dut.write_data.value = space.mode << 60 | space.root
            dut.write_features.value = pack(SpaceFeatures, {name: getattr(space, name) for name in ("adue", "pbmte", "napot")})
        for port in range(self.ports):
            self._offer(port)
            getattr(dut, f"answers__{port}__ready").value = self.rng.random() < self.ready[port]
            getattr(dut, f"withdraw__{port}").value = port in self.withdrawing

    def _offer(self, port: int) -> None:
        dut = self.dut
        offer = bool(self.waiting[port]) and len(self.outstanding[port]) < 500
        getattr(dut, f"requests__{port}__valid").value = offer
        if offer and self.waiting[port][0].tag < 0:
            pending = self.waiting[port][0]
            pending.tag = next(tag for tag in range(512) if tag not in self.outstanding[port])
            fields = {name: getattr(pending, name) for name in ("va", "space", "access", "tag", "supervisor", "sum", "mxr")}
            flags = {name: pending.flags >> bit & 1 for bit, name in enumerate(FLAGS)}
            getattr(dut, f"requests__{port}__payload").value = pack(Request, fields | {"flags": flags})

    def _sample_port(self, port: int) -> None:
        dut = self.dut
        if getattr(dut, f"answers__{port}__valid").value and getattr(dut, f"answers__{port}__ready").value:
            self._check(port, unpack(Answer, int(getattr(dut, f"answers__{port}__payload").value)))
        if port in self.withdrawing:
            self.withdrawn = [*self.withdrawn[-100:], *self.outstanding[port].values()]
            self.outstanding[port].clear()
        if getattr(dut, f"requests__{port}__valid").value and getattr(dut, f"requests__{port}__ready").value:
            pending = self.waiting[port].pop(0)
            pending.issued = self.now
            pending.verdicts = self.world.verdicts(pending)
            self.outstanding[port][pending.tag] = pending

    def _check(self, port: int, answer: dict) -> None:
        assert answer["tag"] in self.outstanding[port], f"port {port}: answer to nobody: {answer}"
        pending = self.outstanding[port].pop(answer["tag"])
        self.answered[port] += 1
        self.latencies.append(self.now - pending.issued)
        if pending.faulted:
            got, kind = tuple(answer[name] for name in ("status", "how", "reason", "pa")), f"fault unit {answer['status']}"
            assert got == pending.promised, f"{got} for {pending}"
        else:
            got = tuple(answer[name] for name in ("status", "reason", "pa", "pbmt", "exception"))
            assert answer["how"] == TRANSLATED, f"{answer} for {pending}"
            assert got in pending.verdicts, f"{got} for {pending}"
            kind = f"status {answer['status']} reason {answer['reason']}"
            if answer["status"] == OK:
                self._check_used(pending)
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def _check_used(self, pending: Pending) -> None:
        """A, and D for a store, are in memory before the access is made, if software has not touched the tables meanwhile."""
        if self.last_change < pending.issued:
            used = A | (D if pending.access == STORE else 0)
            entry = self.world.walk(pending.space, pending.va >> 12).pte
            assert entry & used == used, f"OK with the entry {entry:#x}: {pending}"

    def _on_their_way(self) -> list[Pending]:
        return [pending for port in self.outstanding for pending in port.values()] + self.withdrawn

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
