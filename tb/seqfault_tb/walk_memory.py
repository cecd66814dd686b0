"""Memory at the walker's read port: any latency, any order, entries read at any moment in between."""

from collections.abc import Callable
from random import Random
from typing import Any

from seqfault_rtl.messages import MemoryReadRequest, MemoryReadResponse

from .fields import pack, unpack
from .page_walk import Tables

__all__ = ["WalkMemory"]


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
            assert read["tag"] not in [other["tag"] for other in self.pending], "two reads of one slot"
            assert int(dut.active.value) >> read["tag"] & 1, "a read for a slot that is not active"
            self.pending.append({"addr": read["addr"], "tag": read["tag"], "due": now + self.latency(), "value": "unread"})
            self.reads += 1
