"""PortLookup against its model: every output in every cycle, at random rates; and what it promises about time, one by one."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import Answer, FaultFlags, FillRecord, InvalidateRecord, Request
from seqfault_rtl.miss_records import Miss
from seqfault_rtl.paging import Pte

from .fields import pack, unpack
from .port_model import PortModel, PortRequest
from .tlb_model import Invalidation, Translation, possible_sizes

ENTRIES, SPACES, LEVELS, PORT_MISSES = (int(os.environ.get(f"PORT_{name}", "0")) for name in ("ENTRIES", "SPACES", "LEVELS", "MISSES"))
SIZES = possible_sizes(LEVELS, sv32=os.environ.get("PORT_SV32") == "1")
BUG = int(os.environ.get("PORT_BUG", "0"))
"""Which planted bug is switched on, where the design has some."""
VPN_BITS = 9 * LEVELS
SETTLE_NS = 1
NAPOT, PBMT_SHIFT, KIB_64 = 1 << 63, 61, 1
ALL_RIGHTS = 0xDF
MAX_DRAIN = 2000
"""Cycles in which everything outstanding must have been answered."""


class Bench:
    """Drives a PortLookup; `counts` says what happened.

    `permissive`: leaves refuse no user, and requests are a user's. `ready`, `taking`: probability that an answer, a miss is taken.
    `patience`: cycles that a miss may take. `fills`, `strikes`, `withdrawals`: probability of each in a cycle.
    """

    def __init__(self, dut, seed: int) -> None:
        self.dut, self.rng = dut, Random(seed)
        self.model = PortModel(levels=LEVELS, spaces=SPACES, port_misses=PORT_MISSES)
        self.ready = self.taking = 1.0
        self.patience = 3
        self.fills = self.strikes = self.withdrawals = 0.0
        self.permissive = False
        self.pages: list[tuple[int, int]] = []
        self.now = 0
        self.counts: dict[str, int] = {}
        self._due: list[tuple[int, int]] = []
        self._asked: PortRequest | None = None
        self._tag = 0

    async def start(self) -> None:
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        if hasattr(dut, "bug"):
            dut.bug.value = BUG
        for name in ("requests__valid", "answers__ready", "misses__ready", "miss_answers__valid", "withdraw", "fill", "invalidate"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def request(self, page: tuple[int, int] | None = None, **fields: int) -> PortRequest:
        """A new request, for some page, of some kind, where nothing else is said."""
        rng = self.rng
        space, vpn = page or rng.choice(self.pages)
        self._tag = self._tag + 1 & 0x1FF
        supervisor = not self.permissive and rng.random() < 0.4
        kind = {"access": rng.randrange(3), "supervisor": supervisor, "sum": rng.getrandbits(1), "mxr": rng.getrandbits(1)} | fields
        return PortRequest(va=vpn << 12 | rng.getrandbits(12), space=space, flags=rng.getrandbits(4), tag=self._tag, **kind)

    def leaf(self, page: tuple[int, int], size: int = 0, flags: int | None = None) -> Translation:
        """A leaf for the page, of some kind."""
        rng = self.rng
        if self.permissive:
            flags = ALL_RIGHTS
        if flags is None:
            rights, used = rng.choice((0xE, 0xE, 0xE, 0x6, 0x2, 0x8, 0xA)), rng.choice((0xC0, 0xC0, 0xC0, 0x80, 0x40, 0))
            flags = 1 | rights | used | rng.choice((0x10, 0x10, 0)) | rng.getrandbits(1) << 5
        word = flags | rng.getrandbits(44) << 10 | rng.randrange(3) << PBMT_SHIFT | (NAPOT if size == KIB_64 else 0)
        return Translation(space=page[0], vpn=page[1] & (1 << VPN_BITS) - 1, size=size, pte=word)

    async def cycle(
        self, asked: PortRequest | None = None, *, fill: Translation | None = None, strike: Invalidation | None = None, withdraw: bool = False
    ) -> bool:
        """One clock cycle in which this is asked; checks all outputs, and returns whether the request was taken."""
        dut, model = self.dut, self.model
        await FallingEdge(dut.clk)
        self._drive_requester(asked, withdraw)
        self._drive_changes(fill, strike)
        returned = self._drive_miss_answer()
        dut.misses__ready.value = self.rng.random() < self.taking
        await Timer(SETTLE_NS, unit="ns")
        model.resolve(returned)
        self._check_misses()
        self._check_answer()
        gone = bool(dut.misses__valid.value and dut.misses__ready.value)
        if gone:
            self._due.append((self.now + self.rng.randint(1, self.patience), self.rng.getrandbits(9)))
        taken = asked is not None and bool(dut.requests__ready.value)
        assert taken or asked is None or not model.idle, "a port with nothing to do takes no request"
        model.end(asked=asked if taken else None, gone=gone, withdraw=withdraw, fill=fill, invalidation=strike)
        self.now += 1
        return taken

    def _drive_requester(self, asked: PortRequest | None, withdraw: bool) -> None:
        dut = self.dut
        dut.requests__valid.value = asked is not None
        if asked is not None:
            dut.requests__payload.value = pack_request(asked)
        dut.answers__ready.value = self.rng.random() < self.ready
        dut.withdraw.value = withdraw
        if withdraw:
            self.count("withdrawals")

    def _drive_changes(self, fill: Translation | None, strike: Invalidation | None) -> None:
        dut = self.dut
        dut.fill.value, dut.invalidate.value = fill is not None, strike is not None
        if fill is not None:
            fields = {"space": fill.space, "vpn": fill.vpn, "size": fill.size, "pte": unpack(Pte, fill.pte)}
            dut.fill_record.value = pack(FillRecord, fields)
        if strike is not None:
            fields = {"any_space": strike.space is None, "space": strike.space or 0, "any_page": strike.vpn is None, "vpn": strike.vpn or 0}
            dut.record.value = pack(InvalidateRecord, fields)

    def _drive_miss_answer(self) -> dict[str, int] | None:
        """At most one of the answers that are due, in no order."""
        due = [item for item in self._due if item[0] <= self.now]
        self.dut.miss_answers__valid.value = bool(due)
        if not due:
            return None
        item = self.rng.choice(due)
        self._due.remove(item)
        answer = {"pa": self.rng.getrandbits(56), "tag": item[1], "status": self.rng.randrange(3), "how": self.rng.randrange(5),
                  "reason": self.rng.randrange(26), "pbmt": self.rng.randrange(3), "exception": self.rng.getrandbits(6)}  # fmt: skip
        self.dut.miss_answers__payload.value = pack(Answer, answer)
        return answer

    def _check_misses(self) -> None:
        dut, expected = self.dut, self.model.miss
        assert bool(dut.miss_answers__ready.value), "an answer of a miss found no room"
        assert bool(dut.misses__valid.value) == (expected is not None), f"misses.valid is {dut.misses__valid.value}, expected {expected}"
        if expected is None:
            return
        request, reason = expected
        wanted = pack(Miss, {"denied": reason != 0, "reason": reason}) | pack_request(request)
        got = int(dut.misses__payload.value)
        assert got == wanted, f"the miss is {unpack(Miss, got)}, not {unpack(Miss, wanted)}"
        self.count("denied" if reason else "misses")

    def _check_answer(self) -> None:
        dut, model = self.dut, self.model
        valid, ready = bool(dut.answers__valid.value), bool(dut.answers__ready.value)
        got = int(dut.answers__payload.value) if valid else 0
        if model.hits.answers and model.returned.answers:
            self.count("contested")
        before = len(model.hits.answers)
        model.check_answer(valid, lambda answer: got == pack(Answer, answer), ready)
        if len(model.hits.answers) < before:
            self.count("hits while draining" if model.draining else "hits")
        elif valid and ready:
            self.count("returned")

    async def random_cycles(self, cycles: int, asking: float) -> None:
        """Everything at random; the TLB is never given more than it can hold."""
        rng, asked = self.rng, None
        for _ in range(cycles):
            room = len(self.model.tlb.held) + (self.model.tlb.arriving is not None) < ENTRIES
            fill = self.leaf(rng.choice(self.pages), rng.choice((0, *SIZES))) if room and rng.random() < self.fills else None
            strike = self.random_strike() if rng.random() < self.strikes else None
            if asked is None and rng.random() < asking:
                asked = self.request()
            if await self.cycle(asked, fill=fill, strike=strike, withdraw=rng.random() < self.withdrawals):
                asked = None

    def random_strike(self) -> Invalidation:
        space, vpn = self.rng.choice(self.pages)
        everything = self.rng.random() < 0.2
        return Invalidation(space=None if everything else space, vpn=None if everything else vpn & (1 << VPN_BITS) - 1)

    async def fill_all(self, leaves: Iterable[Translation]) -> None:
        for leaf in leaves:
            await self.cycle(fill=leaf)
        await self.cycle()

    async def drain(self) -> None:
        """Until nothing waits for anything."""
        self.ready = self.taking = 1.0
        for _ in range(MAX_DRAIN):
            if self.model.idle:
                return
            await self.cycle()
        raise AssertionError(f"{self.model.outstanding} misses and {len(self.model.hits.answers)} hits wait after {MAX_DRAIN} cycles")


def pack_request(request: PortRequest) -> int:
    return pack(Request, asdict(request) | {"flags": unpack(FaultFlags, request.flags)})


def some_pages(rng: Random, count: int) -> list[tuple[int, int]]:
    """Pages as (space, 52-bit page number) that meet in pages of every size; one in ten has a bit that its sign does not explain."""
    pages = []
    base = rng.getrandbits(VPN_BITS - 1) | rng.getrandbits(1) << VPN_BITS - 1
    for _ in range(count):
        vpn = base ^ 1 << rng.randrange(VPN_BITS) if rng.random() < 0.7 else base
        vpn |= (1 << 52) - (1 << VPN_BITS) if vpn >> VPN_BITS - 1 else 0
        if rng.random() < 0.1:
            vpn ^= 1 << rng.randrange(VPN_BITS, 52)
        pages.append((rng.choice((0, 0, 1, SPACES - 1, SPACES + 1)), vpn))
    return pages


@cocotb.test()
async def random_traffic(dut) -> None:
    """All rates from never to always, in every mixture."""
    bench = Bench(dut, seed=1)
    await bench.start()
    rng = bench.rng
    for _ in range(40):
        bench.permissive = rng.random() < 0.3
        bench.pages = some_pages(rng, rng.choice((2, 6, 12)))
        bench.ready, bench.taking = rng.choice((1.0, 1.0, 0.7, 0.2)), rng.choice((1.0, 1.0, 0.5, 0.1))
        bench.patience = rng.choice((1, 1, 3, 30))
        bench.fills, bench.strikes = rng.choice(((0.0, 0.0), (0.2, 0.01), (0.4, 0.1), (0.02, 0.001)))
        bench.withdrawals = rng.choice((0.0, 0.0, 0.02, 0.2))
        await bench.cycle(strike=Invalidation(space=None, vpn=None))
        await bench.fill_all(bench.leaf(page) for page in bench.pages[: rng.choice((0, ENTRIES // 2, ENTRIES // 2))])
        await bench.random_cycles(400, asking=rng.choice((1.0, 1.0, 0.5)))
    await bench.drain()
    dut._log.info(str(bench.counts))
    enough = {"hits": 1000, "misses": 1000, "denied": 300, "returned": 1000, "contested": 200, "withdrawals": 300, "hits while draining": 20}
    for what, least in enough.items():
        assert bench.counts.get(what, 0) >= least, f"only {bench.counts.get(what, 0)} {what}"


@cocotb.test()
async def hits_are_answered_next_cycle(dut) -> None:
    """One request a cycle, each answered in the next."""
    bench = Bench(dut, seed=2)
    await bench.start()
    pages = [(1, 0x1000 + index) for index in range(min(ENTRIES, 8))]
    await bench.fill_all(bench.leaf(page, flags=ALL_RIGHTS) for page in pages)
    for index in range(100):
        assert await bench.cycle(bench.request(pages[index * 3 % len(pages)], supervisor=0)), f"request {index} was not taken at once"
        assert bench.counts.get("hits", 0) == index, f"{bench.counts} before the cycle after request {index}"
    await bench.drain()


@cocotb.test()
async def misses_go_next_cycle(dut) -> None:
    """A miss is offered in the cycle after its request, one a cycle, while there are places; its answer passes in its cycle."""
    bench = Bench(dut, seed=3)
    await bench.start()
    bench.patience = 1
    for index in range(50):
        await bench.cycle(bench.request((1, 0x1000 + index)))
        await bench.cycle()
        assert bench.counts["misses"] == index + 1, f"{bench.counts} in the cycle after request {index}"
        await bench.cycle()
        assert bench.counts["returned"] == index + 1, f"{bench.counts} when answer {index} came"


@cocotb.test()
async def withdrawn_in_every_place(dut) -> None:
    """For each number of cycles from the request to the withdrawal: a hit, a miss and one that is refused are not answered after it."""
    bench = Bench(dut, seed=4)
    await bench.start()
    pages = {"hit": (1, 0x100), "refused": (1, 0x101), "miss": (1, 0x102)}
    await bench.fill_all([bench.leaf(pages["hit"], flags=ALL_RIGHTS), bench.leaf(pages["refused"], flags=ALL_RIGHTS & ~0x40)])
    for place in pages.values():
        for distance in range(8):
            for bench.ready, bench.taking in ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)):
                bench.patience = 3
                assert await bench.cycle(bench.request(place, supervisor=0, access=0))
                for cycle in range(1, 8):
                    await bench.cycle(withdraw=cycle == distance)
                bench.pages = [pages["hit"]]
                await bench.random_cycles(5, asking=1.0)
                await bench.drain()
