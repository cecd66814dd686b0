"""Testbench of the Walker: clients, a space table, and a checker of every response against an independent walk."""

import os
from random import Random
from typing import Any

from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import InvalidateRecord, SpaceEntry, WalkRequest, WalkResponse

from .fields import pack, unpack
from .page_tables import Tables
from .page_walk import LEAF, MALFORMED, NO_SPACE, NONE, PAGE_BITS, SV32, SV39, SV48, SV57, Space, WalkEnd, is_canonical, walk
from .tlb_model import Invalidation
from .walk_memory import WalkMemory

__all__ = ["CLIENTS", "LEVELS_BUILT", "MODES", "PATIENCE", "SPACES", "UPDATER", "WALKS", "Bench"]

WALKS = int(os.environ.get("WALKS", "8"))
SPACES = int(os.environ.get("SPACES", "64"))
CLIENTS = int(os.environ.get("CLIENTS", "4"))
LEVELS_BUILT = int(os.environ.get("LEVELS", "5"))
MODES = [SV39, SV48, SV57][: LEVELS_BUILT - 2] + [SV32] * (os.environ.get("SV32", "1") == "1")
PATIENCE = 3000
"""Cycles within which outstanding walks must end once nothing holds them up."""
UPDATER = 3
"""The client with one walk at a time, and a slot of its own."""
VPN_WIDTH = 45
SETTLE_NS = 1


class Bench:
    """Drives a Walker; `spaces` is the space table."""

    def __init__(self, dut: Any, seed: int, *, defects: float = 0.1) -> None:
        self.dut, self.rng = dut, Random(seed)
        self.tables = Tables(self.rng, defects=defects, branches=0.7)
        self.memory = WalkMemory(dut, self.tables, self.rng)
        self.spaces: dict[int, Space] = {}
        features = ((True, True, True), (False, True, False), (True, False, True), (True, True, True), (False, False, False), (False, False, True))
        free = [space for space in (0, 1, SPACES - 1, *range(3, SPACES - 1)) if space < SPACES]
        for place, space in enumerate(free[: 2 * len(MODES)]):
            mode, (adue, pbmte, napot) = MODES[-1 - place % len(MODES)], features[place % len(features)]
            self.spaces[space] = Space(mode=mode, root=self.tables.root(mode), adue=adue, pbmte=pbmte, napot=napot)
        self.waiting: list[list[dict]] = [[] for _ in range(CLIENTS)]
        self.outstanding: list[dict[int, dict]] = [{} for _ in range(CLIENTS)]
        self.ready = [0.8] * CLIENTS
        self.now = 0
        self.done: list[dict] = []
        self.strike: Invalidation | None = None
        self.starts: set[int] = set()
        self.active = 0

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        for name in ("invalidate", "memory__response__valid", "memory__request__ready"):
            getattr(dut, name).value = 0
        for client in range(CLIENTS):
            getattr(dut, f"requests__{client}__valid").value = 0
            getattr(dut, f"responses__{client}__ready").value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    def ask(self, client: int, space: int, vpn: int) -> None:
        """Queue a request."""
        self.waiting[client].append({"space": space, "vpn": vpn, "strikes": []})

    def ask_random(self, client: int) -> None:
        """Queue a request for some page; at times in a space without a table, or with bits that its mode does not have."""
        space = self.rng.choice(list(self.spaces))
        mode = self.spaces[space].mode
        if self.rng.random() < 0.05:
            space, mode = self.rng.choice((2, SPACES + 1, 0x8000)), SV57
        vpn = self.tables.random_vpn(mode)
        if self.rng.random() < 0.1:
            vpn ^= 1 << self.rng.randrange(20, VPN_WIDTH)
        self.ask(client, space, vpn)

    def space_at(self, number: int) -> Space:
        """What the space table holds."""
        return self.spaces.get(number, Space())

    def reference(self, space: int, vpn: int) -> WalkEnd:
        """What a walk gives now."""
        return walk(self.tables.read, self.space_at(space), vpn)

    async def cycle(self) -> None:
        """One clock cycle."""
        dut = self.dut
        await FallingEdge(dut.clk)
        self.now += 1
        self._drive_clients()
        self._drive_strike()
        self.memory.drive(self.now)
        await Timer(SETTLE_NS, unit="ns")
        space = self.space_at(int(dut.space.value))
        dut.space_entry.value = pack(SpaceEntry, {name: getattr(space, name) for name in ("mode", "root", "adue", "pbmte", "napot")})
        await Timer(SETTLE_NS, unit="ns")
        self.memory.sample(self.now)
        active = int(dut.active.value)
        if active & ~self.active:
            self.starts.add(self.now - 1)
        self.active = active
        for client in range(CLIENTS):
            self._sample_client(client)
        if self.strike:
            for walks in self.outstanding:
                for entry in walks.values():
                    entry["strikes"].append((self.now, self.strike))
        self.strike = None

    def _drive_strike(self) -> None:
        self.dut.invalidate.value = self.strike is not None
        if self.strike:
            strike = self.strike
            self.dut.record.value = pack(InvalidateRecord, {
                "any_space": strike.space is None, "space": strike.space or 0, "any_page": strike.vpn is None,
                "vpn": strike.vpn or 0, "mask": strike.mask,
            })  # fmt: skip

    def _drive_clients(self) -> None:
        for client in range(CLIENTS):
            limit = 1 if client == UPDATER else 60
            offer = bool(self.waiting[client]) and len(self.outstanding[client]) < limit
            if offer:
                item = self.waiting[client][0]
                if "tag" not in item:
                    item["tag"] = next(t for t in range(64) if t not in self.outstanding[client])
                    payload = pack(WalkRequest, {"space": item["space"], "vpn": item["vpn"], "tag": item["tag"]})
                    getattr(self.dut, f"requests__{client}__payload").value = payload
            getattr(self.dut, f"requests__{client}__valid").value = offer
            getattr(self.dut, f"responses__{client}__ready").value = self.rng.random() < self.ready[client]

    def _sample_client(self, client: int) -> None:
        dut = self.dut
        # a request that is taken in this cycle may be answered in it
        if getattr(dut, f"requests__{client}__valid").value and getattr(dut, f"requests__{client}__ready").value:
            item = self.waiting[client].pop(0)
            item["begin"] = self.now
            self.outstanding[client][item["tag"]] = item
        if getattr(dut, f"responses__{client}__valid").value and getattr(dut, f"responses__{client}__ready").value:
            payload = int(getattr(dut, f"responses__{client}__payload").value)
            got = unpack(WalkResponse, payload)
            assert got["tag"] in self.outstanding[client], f"client {client}: answer to nobody: {got}"
            item = self.outstanding[client].pop(got["tag"])
            got["pte"] = _pte_bits(payload)
            item |= {"client": client, "got": got, "end": self.now}
            self.done.append(item)
            self._check(item)

    def _check(self, item: dict) -> None:
        """A response that is not stale tells what is in memory now: each change was announced in its cycle. No needless stale marks."""
        got, now, space = item["got"], self.reference(item["space"], item["vpn"]), self.space_at(item["space"])
        struck = self.strike is not None or any(
            strikes(strike, item, got["level"], space) or cycle in self.starts for cycle, strike in item["strikes"]
        )
        doubtful = space.levels > 0 and not is_canonical(item["vpn"], space.mode, VPN_WIDTH)
        assert got["stale"] or not doubtful, f"a page that is not canonical may be kept: {item}"
        assert struck or doubtful or not got["stale"], f"stale without an invalidation of its page: {item}"
        if got["stale"] and (struck or not doubtful):
            return
        assert got["outcome"] == now.outcome, f"outcome {got['outcome']} instead of {now}: {item}"
        if now.outcome != NO_SPACE:
            assert got["level"] == now.level, f"level of {item}, not {now}"
            assert got["pte_addr"] == now.address, f"address of {item}, not {now}"
            assert (got["sv32"], got["adue"]) == (space.is_narrow, space.adue), f"features of {item}, not {space}"
        if now.outcome in (LEAF, NONE, MALFORMED):
            assert got["pte"] == now.pte, f"entry of {item}, not {now}"
        if now.outcome == LEAF:
            assert PAGE_BITS[got["size"]] == now.page_bits, f"size of {item}, not {now}"

    async def drain(self) -> None:
        """Until all walks have ended."""
        for _ in range(PATIENCE):
            if not any(self.waiting) and not any(self.outstanding):
                break
            await self.cycle()
        left = [list(walks.values()) for walks in self.outstanding]
        assert not any(self.waiting), "requests were never taken"
        assert not any(left), f"walks that never ended: {left}"
        await self.cycle()
        assert int(self.dut.active.value) == 0, "slots in use without a walk"


def strikes(strike: Invalidation, item: dict, level: int, space: Space) -> bool:
    """The walk may be stale: the invalidation shares a page of this level with it. Those of level 1 count as those of Sv32 if it is built,
    and those of level 0 as 64 KiB where these are in use."""
    if strike.space is not None and strike.space != item["space"]:
        return False
    if strike.vpn is None:
        return True
    bits = 9 * level
    if level == 1 and SV32 in MODES:
        bits = 10
    if level == 0 and space.napot:
        bits = 4
    different = (strike.vpn ^ item["vpn"]) & ~strike.mask & (1 << 9 * LEVELS_BUILT) - 1
    return different >> bits == 0


def _pte_bits(payload: int) -> int:
    """The entry of a WalkResponse as one number."""
    field = data.Layout.cast(WalkResponse)["pte"]
    return payload >> field.offset & (1 << 64) - 1
