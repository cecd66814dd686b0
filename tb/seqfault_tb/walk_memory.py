"""Memory at the walker's read port and at the port of A/D updates: any latency, any order, accessed at any moment in between."""

from collections.abc import Callable
from random import Random
from typing import Any

from seqfault_rtl.messages import MemoryReadRequest, MemoryReadResponse, MemoryUpdateRequest, MemoryUpdateResponse

from .fields import pack, unpack
from .page_tables import Tables

__all__ = ["AxiTables", "UpdateMemory", "WalkMemory"]


class AxiTables:
    """Tables as the AXI memory model reads them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.failing = self

    def __contains__(self, address: int) -> bool:
        return self._tables.read(address) is None

    def __getitem__(self, address: int) -> int:
        return self._tables.read(address) or 0


class WalkMemory:
    """Answers reads after `latency()` cycles, in any order if latencies differ; the value is that of a moment in between.

    Two calls in a cycle: `drive` after the falling edge, `sample` when the design has settled. The port is named `memory`; slots in use
    are seen at `active`.
    """

    def __init__(self, dut: Any, tables: Tables, rng: Random) -> None:
        self.dut, self.tables, self.rng = dut, tables, rng
        self.latency: Callable[[], int] = lambda: rng.randrange(1, 12)
        self.ready = 0.8
        self.pending: list[dict] = []
        self.reads = 0

    def drive(self, now: int) -> None:
        """Choose this cycle's behaviour."""
        dut = self.dut
        dut.memory__request__ready.value = self.rng.random() < self.ready
        for read in self.pending:
            if read["value"] == "unread" and (read["due"] <= now or self.rng.random() < 0.3):
                read["value"] = self.tables.read(read["addr"])
        due = [read for read in self.pending if read["due"] <= now]
        dut.memory__response__valid.value = bool(due)
        if due:
            read = due[0]
            self.pending.remove(read)
            error = read["value"] is None
            dut.memory__response__payload.value = pack(
                MemoryReadResponse, {"data": read["value"] or 0, "tag": read["tag"], "last": 1, "error": error}
            )

    def sample(self, now: int) -> None:
        """Take over what this cycle's handshakes did."""
        dut = self.dut
        assert not dut.memory__response__valid.value or dut.memory__response__ready.value, "a response was not taken at once"
        if dut.memory__request__valid.value and dut.memory__request__ready.value:
            read = unpack(MemoryReadRequest, int(dut.memory__request__payload.value))
            assert read["beats"] == 0, "a walk reads one word"
            assert read["exclusive"] == 0, "a walk does not lock"
            assert read["tag"] not in [other["tag"] for other in self.pending], "two reads of one slot"
            assert int(dut.active.value) >> read["tag"] & 1, "a read for a slot that is not active"
            self.pending.append({"addr": read["addr"], "tag": read["tag"], "due": now + self.latency(), "value": "unread"})
            self.reads += 1


class UpdateMemory:
    """Compares and swaps entries at the port `update`, at some moment before the response; called as `WalkMemory` is.

    Parameters
    ----------
    swapped : called with the address, the old and the new entry of a swap that succeeds.
    """

    def __init__(self, dut: Any, tables: Tables, rng: Random, swapped: Callable[[int, int, int], None]) -> None:
        self.dut, self.tables, self.rng, self._swapped = dut, tables, rng, swapped
        self.latency: Callable[[], int] = lambda: rng.randrange(1, 12)
        self._asked: dict | None = None
        self._done: dict | None = None
        self._due = 0
        dut.update__request__ready.value = 0
        dut.update__response__valid.value = 0

    def drive(self, now: int) -> None:
        """Choose this cycle's behaviour."""
        dut, idle = self.dut, self._asked is None and self._done is None
        dut.update__request__ready.value = idle and self.rng.random() < 0.8
        if self._asked and (now >= self._due or self.rng.random() < 0.3):
            self._done, self._asked = self._swap(self._asked), None
        ready = self._done is not None and now >= self._due
        dut.update__response__valid.value = ready
        if ready:
            dut.update__response__payload.value = pack(MemoryUpdateResponse, self._done or {})

    def sample(self, now: int) -> None:
        """Take over what this cycle's handshakes did."""
        dut = self.dut
        if dut.update__response__valid.value and dut.update__response__ready.value:
            self._done = None
        if dut.update__request__valid.value and dut.update__request__ready.value:
            self._asked = unpack(MemoryUpdateRequest, int(dut.update__request__payload.value))
            self._due = now + self.latency()

    def _swap(self, asked: dict) -> dict:
        tables, address = self.tables, asked["addr"]
        assert tables.read(address & ~7) is None or tables.kind_of[address >> 12][0] == bool(asked["narrow"]), f"wrong size: {asked}"
        assert address % (4 if asked["narrow"] else 8) == 0, f"misaligned: {asked}"
        if tables.read(address & ~7) is None:
            return {"error": 1}
        holder = tables.holder(address)
        old = tables.entries.get(holder, 0)
        if old != asked["old"]:
            return {"swapped": 0}
        tables.entries[holder] = asked["new"]
        self._swapped(holder, asked["old"], asked["new"])
        return {"swapped": 1}
