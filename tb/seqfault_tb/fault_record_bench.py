"""Requests of every kind that the engine answers FAULT, on its pins, and the fault queue as software reads it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cocotb.handle import SimHandleBase
from cocotb.triggers import RisingEdge

from seqfault_rtl import messages

from .fields import pack, unpack
from .kernel import commands as cmd
from .machine import Request
from .pin_machine import PinMachine

__all__ = ["COUNTED_WITHIN", "FQMF", "FQOF", "KINDS", "Kind", "RecordBench"]

FQB, FQH, FQT, FQCSR, FAULTS_DROPPED = 0x28, 0x30, 0x34, 0x4C, 0x1018
CQB, CQT, CQCSR = 0x18, 0x24, 0x48
ENABLE, INTERRUPT, FQMF, FQOF, ON = 1 << 0, 1 << 1, 1 << 8, 1 << 9, 1 << 16
RECORD_BYTES = 32
LOAD, STORE, FETCH = 0, 1, 2
PAGE_FAULTS, ACCESS_FAULTS, TTYP = {LOAD: 13, STORE: 15, FETCH: 12}, {LOAD: 5, STORE: 7, FETCH: 1}, {FETCH: 1, LOAD: 2, STORE: 3}
OK, RETRY, FAULT = 0, 1, 2
NO_VMA, BOUNDS, ACCESS, BUS_ERROR, BAD_TABLE, NOT_VALID = 1, 9, 10, 16, 21, 24
ALLOW_RETRY, ATOMIC = 1, 8
COMMANDS, TABLES, BAD_NODE = 0x8000_0000, 0x8010_0000, 0x8020_0000
PLAIN, NO_TABLE, UPDATING, BAD_TREE = 1, 2, 3, 4
PAGE = 0x1_2345_6600
"""A VPN at the begin of a leaf table; the next leaf table answers with bus errors."""
MAPPED, EMPTY, UNUSED, FAILING = PAGE, PAGE + 1, PAGE + 2, PAGE + 512
LEVELS, SV48 = 4, 9
RWXU, AD = 0x1F, 0xC0
PATIENCE = 10_000
"""Cycles that anything may take."""
SLICE = 200
COUNTED_WITHIN = 100
"""Cycles after the last answer in which its report is known to the queue, and what it drops has been counted."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A request, and the answer that docs/software-contract.md says: `reason` is 0 where it does not matter."""

    space: int = PLAIN
    vpn: int
    high: int = 0
    flags: int = ALLOW_RETRY
    supervisor: int = 0
    status: int = FAULT
    reason: int = 0


KINDS = {
    "mapped": Kind(vpn=MAPPED, status=OK),
    "for software": Kind(vpn=EMPTY, status=RETRY),
    "not canonical": Kind(vpn=MAPPED, high=0x8000 << 48, reason=BOUNDS),
    "not canonical for supervisor": Kind(vpn=MAPPED, high=0x0001 << 48, reason=BOUNDS, supervisor=1),
    "no table": Kind(space=NO_TABLE, vpn=MAPPED, reason=BAD_TABLE),
    "bus error of a walk": Kind(vpn=FAILING, reason=BUS_ERROR),
    "supervisor, V=0": Kind(vpn=EMPTY, supervisor=1, reason=NOT_VALID),
    "supervisor, user page": Kind(vpn=MAPPED, supervisor=1, reason=ACCESS),
    "without flags": Kind(vpn=EMPTY, flags=0, reason=NO_VMA),
    "atomic": Kind(vpn=EMPTY, flags=ATOMIC | ALLOW_RETRY, reason=NO_VMA),
    "bus error of a lookup": Kind(space=BAD_TREE, vpn=EMPTY, flags=0, reason=BUS_ERROR),
    "bus error of an update": Kind(space=UPDATING, vpn=UNUSED, reason=BUS_ERROR),  # this memory has no exclusive access
}


def record(port: int, tag: int, va: int, kind: Kind, access: int) -> tuple[int, ...]:
    """The four words, written down from docs/software-contract.md."""
    cause = (ACCESS_FAULTS if kind.reason == BUS_ERROR else PAGE_FAULTS)[access]
    word0 = cause | kind.space << 12 | 1 << 32 | kind.supervisor << 33 | TTYP[access] << 34 | port << 40
    return word0, kind.reason | tag << 5, va, 0


class RecordBench(PinMachine):
    """Requests are given by kind; every answer is checked. `refused` counts the records that the FAULT answers call for, `found` those read."""

    def __init__(self, dut: SimHandleBase, rng: Random, *, ports: int, pause: float) -> None:
        super().__init__(dut, ports=ports, tags=512, rng=rng, pause=pause)
        self.random = rng
        self.asked: dict[tuple[int, int], tuple[str, int, int]] = {}
        self.refused: Counter[tuple[int, ...]] = Counter()
        self.found: Counter[tuple[int, ...]] = Counter()
        self.counts: Counter[str] = Counter()
        self.head = 0

    # --- requests and answers ---------------------------------------------------------------------------------------

    def ask(self, name: str) -> None:
        """One request of this kind at a random port."""
        kind, rng = KINDS[name], self.random
        port, access = rng.randrange(self.ports), rng.choice((LOAD, STORE, FETCH))
        tag = rng.choice([tag for tag in range(self.tags) if (port, tag) not in self.asked])
        va = kind.high | kind.vpn << 12 | rng.getrandbits(12)
        self.asked[port, tag] = name, va, access
        self.submit(Request(port=port, tag=tag, va=va, space=kind.space, access=access, flags=kind.flags))

    def _payload(self, request: Request) -> int:
        kind = KINDS[self.asked[request.port, request.tag][0]]
        return super()._payload(request) | pack(messages.Request, {"supervisor": kind.supervisor})

    def _watch_port(self, port: int) -> None:
        if self._pin(f"answers__{port}__valid").value and self._pin(f"answers__{port}__ready").value:
            self._check_answer(port, unpack(messages.Answer, int(self._pin(f"answers__{port}__payload").value)))
        super()._watch_port(port)

    def _check_answer(self, port: int, answer: dict[str, int]) -> None:
        assert (port, answer["tag"]) in self.asked, f"port {port}: an answer to nobody: {answer}"
        name, va, access = self.asked.pop((port, answer["tag"]))
        kind = KINDS[name]
        assert answer["status"] == kind.status, f"{name}: {answer}"
        self.counts[name] += 1
        if kind.status == FAULT:
            words = record(port, answer["tag"], va, kind, access)
            assert (answer["reason"], answer["exception"]) == (kind.reason, words[0] & 0xFFF), f"{name}: {answer}"
            self.refused[words] += 1

    async def withdraw(self) -> Counter[tuple[int, ...]]:
        """Strobe all ports; returns the records that what was not answered before may have."""
        dut = self._dut
        await RisingEdge(dut.clk)
        for port in range(self.ports):
            self._pin(f"withdraw__{port}").value = 1
        await RisingEdge(dut.clk)
        for port in range(self.ports):
            self._pin(f"withdraw__{port}").value = 0
        gone, self.asked = self.asked, {}
        return Counter(record(port, tag, va, KINDS[name], access) for (port, tag), (name, va, access) in gone.items())

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Bounded."""
        end = self.cycle + PATIENCE
        while not condition():
            assert self.cycle < end, f"{what}: not within {PATIENCE} cycles"
            await self.wait(SLICE)

    async def pass_time(self, cycles: int) -> None:
        """So many cycles, whatever happens meanwhile."""
        end = self.cycle + cycles
        while self.cycle < end:
            await self.wait(end - self.cycle)

    async def answered(self) -> None:
        """Until no request waits for its answer, and what is dropped has been counted."""
        await self.until(lambda: not self.asked, "all requests are answered")
        await self.pass_time(COUNTED_WITHIN)

    # --- memory and commands ----------------------------------------------------------------------------------------

    async def begin(self) -> "RecordBench":
        """Spaces with tables, as `KINDS` needs them."""
        await self.start()
        tables: dict[int, int] = {}
        for vpn, leaf in ((MAPPED, RWXU | AD), (UNUSED, RWXU), (FAILING, 0)):
            self._map(tables, vpn, leaf)
        for word in range(512):
            self.region.failing.add(self._map(tables, FAILING + word, 0))
        self.region.failing |= {BAD_NODE + 8 * word for word in range(16)}
        satp = SV48 << 60 | TABLES >> 12
        posted = [
            cmd.set_table(PLAIN, satp), cmd.set_vmas(PLAIN, 0), cmd.set_table(UPDATING, satp, adue=True), cmd.set_vmas(UPDATING, 0),
            cmd.set_table(BAD_TREE, satp), cmd.set_vmas(BAD_TREE, BAD_NODE | 1),
        ]  # fmt: skip
        for index, (_name, word0, word1) in enumerate(posted):
            self.region.set_word(COMMANDS + 16 * index, word0)
            self.region.set_word(COMMANDS + 16 * index + 8, word1)
        await self.write(CQB, 3 | COMMANDS >> 12 << 10, 8)
        await self.write(CQCSR, ENABLE)
        await self.write(CQT, len(posted))
        await self.until(lambda: self.pointers().cq_head == len(posted), "the commands are executed")
        return self

    def _map(self, tables: dict[int, int], vpn: int, leaf: int) -> int:
        """Put the entry there; returns its address. `tables` knows the tables made by what they cover."""
        table = TABLES
        for level in range(LEVELS - 1, 0, -1):
            covered = vpn >> 9 * level << 5 | level
            below = tables.setdefault(covered, TABLES + 4096 * (1 + len(tables)))
            self.region.set_word(table + 8 * (vpn >> 9 * level & 511), below >> 12 << 10 | 1)
            table = below
        self.region.set_word(table + 8 * (vpn & 511), leaf | (0xABCDE << 10 if leaf else 0))
        return table + 8 * (vpn & 511)

    async def write(self, offset: int, value: int, size: int = 4) -> None:
        """A register, until it is written."""
        await self._registers.write(offset, value.to_bytes(size, "little"))

    # --- the queue --------------------------------------------------------------------------------------------------

    async def queue(self, base: int, log2_entries: int) -> None:
        """Turn the fault queue on."""
        self.base, self.entries, self.head = base, 1 << log2_entries, 0
        await self.write(FQB, log2_entries - 1 | base >> 12 << 10, 8)
        await self.write(FQH, 0)
        await self.write(FQCSR, ENABLE | INTERRUPT)

    async def queue_off(self) -> None:
        """Turn it off, and wait until it is."""
        await self.write(FQCSR, 0)
        end = self.cycle + PATIENCE
        while await self.read_register(FQCSR) & ON:
            assert self.cycle < end, "the queue stays on"

    async def errors(self) -> int:
        """The sticky bits of fqcsr."""
        return await self.read_register(FQCSR) & (FQMF | FQOF)

    async def clear(self) -> None:
        """Clear the sticky bits."""
        await self.write(FQCSR, ENABLE | INTERRUPT | FQMF | FQOF)

    async def dropped(self) -> int:
        """The counter of dropped records."""
        return await self.read_register(FAULTS_DROPPED)

    async def read_records(self, *, free: bool = True) -> None:
        """Take what is before the tail; `free`: move the head too."""
        tail = await self.read_register(FQT)
        while self.head != tail:
            at = self.base + RECORD_BYTES * self.head
            self.found[tuple(self.region.word(at + 8 * word) for word in range(4))] += 1
            self.head = (self.head + 1) % self.entries
        if free:
            await self.write(FQH, self.head)

    async def records_complete(self) -> None:
        """Until there is a record, or a drop counted, for each FAULT answer."""
        end = self.cycle + PATIENCE
        while self.found.total() + (dropped := await self.dropped()) < self.refused.total():
            missing = list((self.refused - self.found).items())
            assert self.cycle < end, f"{self.found.total()} records and {dropped} dropped of {self.refused.total()}; missing: {missing[:3]}"
            await self.pass_time(SLICE)
            await self.read_records()
        assert self.found.total() + dropped == self.refused.total(), f"too many: {self.found - self.refused}, {dropped} dropped"

    def expect_exact(self, name: str = "in all") -> None:
        """Each FAULT answer has had exactly one record, and nothing else has."""
        assert self.found == self.refused, f"{name}: too many: {self.found - self.refused}; missing: {self.refused - self.found}"
