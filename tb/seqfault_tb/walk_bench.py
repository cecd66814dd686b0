"""Testbench of the Mmu with translation vectors: every vector is asked several times, cold and from the TLBs, and all its accesses checked.

Memory is a dictionary here. Per clock cycle there is one reading of all outputs and one writing of all inputs (`walk_top.py`).
"""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import FallingEdge

from seqfault_golden import Access, PagingMode
from seqfault_rtl.config import EngineConfig

from .errors import HangError
from .walk_batches import WORD, batches
from .walk_end import ACCESS_FAULT, PAGE_FAULT, RETRY, TRANSLATED, End, golden_end
from .walk_host import WalkHost
from .walk_words import WalkWords

__all__ = ["PHASES", "Difference", "WalkBench"]

PHASES = ("cold", "same port again", "another port", "another access", "another access at another port")
"""How often a vector is asked. The first request finds the caches empty, the second the leaf in its port's TLB, the third in the second level."""
COLD, SAME_PORT, OTHER_PORT, *_ = range(len(PHASES))
PATIENCE = 1000
"""Cycles, and memory latencies, without any progress before it is a hang."""
ACCESS_FAULTS = (1, 5, 7)
MODE_SHIFT = 60
MAX_STRAYS = 5
PAUSE = 6
"""Cycles from an answer to the next request of every other vector; the leaf is in the TLBs then. Those between them ask at once."""


class Difference(NamedTuple):
    """A vector (by number) that did not end as expected in one of the `PHASES`; `control` is of that request."""

    number: int
    phase: str
    control: Any
    expected: End
    got: End


class Job:
    """A vector on its way through the phases."""

    __slots__ = ("control", "expected", "home", "phase", "reads", "rng", "space", "updates", "vector")

    def __init__(self, vector: Any, space: int, home: int, seed: int) -> None:
        self.vector, self.space, self.home, self.control = vector, space, home, vector.control
        self.rng = Random(f"{seed} {vector.number}")
        self.phase = COLD
        self.reads: list[int] = []
        self.updates: list[tuple[int, int]] = []
        self.expected: End | None = None

    @property
    def port(self) -> int:
        """Where this phase's request goes, of two ports."""
        return self.home ^ (PHASES[self.phase].endswith("another port"))

    def advance(self) -> bool:
        """Go to the next phase; False: that was the last. The later ones have any access and mode, in the features of the vector."""
        self.phase += 1
        if self.phase == len(PHASES):
            return False
        self.reads, self.updates = [], []
        if self.phase > OTHER_PORT:
            names = ("supervisor", "sum", "mxr")
            bits = {name: self.rng.random() < 0.5 for name in names}
            self.control = self.control._replace(access=Access(self.rng.randrange(len(Access))), **bits)
        return True


class WalkBench:
    """Runs vectors through a `WalkTop`.

    Parameters
    ----------
    config : of the Mmu. mode, limit : of the vectors. latency : cycles from an accepted read to its data, and of an update.
    seed : of the later phases' accesses. on_progress : called with the vectors done.

    Members
    -------
    differences : by vector number, the first of each. strays : memory accesses that belong to no vector.
    requests : answered. found : of those that were translated, by phase, how many took no read of memory.
    """

    def __init__(
        self, dut: SimHandleBase, config: EngineConfig, *, mode: PagingMode, limit: int, latency: int, seed: int,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> None:  # fmt: skip
        self._dut, self._config, self._mode, self._limit, self._latency, self._seed = dut, config, mode, limit, latency, seed
        self._on_progress = on_progress
        self._host = WalkHost(dut, config)
        self._words = WalkWords(mode, limit, self._stray)
        self._jobs: deque[Job] = deque()
        self._pausing: deque[tuple[int, Job]] = deque()
        self._offered: list[Job | None] = [None] * config.ports
        self._queues: list[deque[Job]] = [deque() for _ in range(config.ports)]
        self._asked: list[dict[int, Job]] = [{} for _ in range(config.ports)]
        self._tags = [deque(range(1 << 9)) for _ in range(config.ports)]
        self._responses: deque[tuple[int, int, int, bool]] = deque()
        self._updated: deque[tuple[int, bool, bool]] = deque()
        self.differences: dict[int, Difference] = {}
        self.strays: list[str] = []
        self.cycles = self.requests = self._done = self._progress = 0
        self.found = dict.fromkeys(PHASES[1:], 0)

    async def run(self, vectors: Sequence[Any], images: Sequence[dict[int, int]], *, plant: int = 0) -> None:
        """All vectors, in batches with an invalidation of everything between them."""
        Clock(self._dut.clk, 10, unit="ns").start()
        self._host.set("plant", plant)
        self._dut.rst.value = 1
        for _ in range(2):
            await self._cycle()
        self._dut.rst.value = 0
        for batch in batches(vectors, images, self._mode, self._config.spaces):
            await self._prepare(batch, images)
            await self._serve()
            await self._invalidate()

    # --- one batch --------------------------------------------------------------------------------------------------

    async def _prepare(self, batch: Sequence[Any], images: Sequence[dict[int, int]]) -> None:
        """Fill the memory, and give every vector its space."""
        self._words.clear()
        jobs = [Job(vector, space, space % self._config.ports, self._seed) for space, vector in enumerate(batch)]
        for job in jobs:
            vector, control = job.vector, job.vector.control
            for address in vector.reads:
                self._words.put(address, images[vector.image].get(address, 0), job)
            features = control.adue | control.pbmte << 1 | control.napot << 2
            self._host.set_all(write_table=1, write_space=job.space, write_data=self._mode.value << MODE_SHIFT | vector.root, write_features=features)
            await self._cycle()
        self._host.set("write_table", 0)
        self._jobs = deque(jobs)

    async def _serve(self) -> None:
        """Until every vector has been through all phases; so many at a time that their pages stay in the TLBs."""
        self._active, most = 0, min(self._config.tlb_entries, self._config.ports * self._config.port_misses)
        self._progress = self.cycles
        while self._active or self._jobs:
            while self._jobs and self._active < most:
                job = self._jobs.popleft()
                self._ask(job)
                self._active += 1
            while self._pausing and self._pausing[0][0] <= self.cycles:
                self._ask(self._pausing.popleft()[1])
            await self._cycle()
            if self.cycles - self._progress > PATIENCE * (1 + self._latency):
                waiting = [job.vector.number for asked in self._asked for job in asked.values()]
                raise HangError(f"no progress for {self.cycles - self._progress} cycles; vectors that wait for an answer: {sorted(waiting)[:8]}")

    async def _invalidate(self) -> None:
        """Everything, and wait for the end."""
        self._host.set_all(invalidate=1, **{"record.any_space": 1, "record.any_page": 1})
        await self._cycle()
        self._host.set("invalidate", 0)
        began = self.cycles
        await self._cycle()
        while self._host.get("busy") or self.cycles - began < 4:
            await self._cycle()
            if self.cycles - began > PATIENCE * (1 + self._latency):
                raise HangError(f"an invalidation has not ended after {self.cycles - began} cycles")

    # --- one cycle --------------------------------------------------------------------------------------------------

    async def _cycle(self) -> None:
        """Take over what the last edge did, and set the inputs of the next one."""
        host = self._host
        self._drive()
        host.write()
        await FallingEdge(self._dut.clk)
        self.cycles += 1
        host.read()
        for port, asked in enumerate(self._asked):
            if host.get(f"accepted{port}"):
                job = self._queues[port].popleft()
                asked[self._tags[port].popleft()] = job
                self._offered[port] = None
                host.set(f"request{port}.valid", 0)
                self._progress = self.cycles
            if host.get(f"answer{port}.valid"):
                self._answer(port)
        if host.get("read.valid"):
            self._read()
        if host.get("update.valid"):
            self._update()
        if host.get("lost"):
            self._stray("a response of memory was not taken")

    def _drive(self) -> None:
        host = self._host
        for port, queue in enumerate(self._queues):
            job = queue[0] if queue else None
            if job is not self._offered[port]:
                self._offered[port] = job
                if job is not None:
                    self._offer(port, job)
        host.set("response.valid", 0)
        if self._responses and self._responses[0][0] <= self.cycles:
            _, tag, word, error = self._responses.popleft()
            prefix = "response.payload."
            host.set_all(**{"response.valid": 1, f"{prefix}tag": tag, f"{prefix}data": word, f"{prefix}last": 1, f"{prefix}error": error})
        host.set("updated.valid", 0)
        if self._updated and self._updated[0][0] <= self.cycles:
            _, swapped, error = self._updated.popleft()
            host.set_all(**{"updated.valid": 1, "updated.payload.swapped": swapped, "updated.payload.error": error})

    def _offer(self, port: int, job: Job) -> None:
        """The request of the job's phase, and what it should be answered."""
        job.expected = self._expect(job)
        control, prefix = job.control, f"request{port}.payload."
        fields = {
            "va": job.vector.va, "space": job.space, "access": control.access, "tag": self._tags[port][0], "supervisor": control.supervisor,
            "sum": control.sum, "mxr": control.mxr,
        }  # fmt: skip
        self._host.set_all(**{f"{prefix}{name}": value for name, value in fields.items()}, **{f"request{port}.valid": 1})

    def _read(self) -> None:
        get = self._host.get
        plain = not get("read.payload.beats") and not get("read.payload.exclusive")
        word, error = self._words.read(get("read.payload.addr"), plain=plain)
        self._responses.append((self.cycles + self._latency - 1, get("read.payload.tag"), word, error))
        self._progress = self.cycles

    def _update(self) -> None:
        address, old, new, narrow = (self._host.get(f"update.payload.{name}") for name in ("addr", "old", "new", "narrow"))
        swapped, error = self._words.swap(address, old, new, narrow=bool(narrow))
        self._updated.append((self.cycles + self._latency - 1, swapped, error))
        self._progress = self.cycles

    def _stray(self, what: str) -> None:
        if len(self.strays) < MAX_STRAYS:
            self.strays.append(what)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _expect(self, job: Job) -> End:
        """What the vector says of the first request, and golden of the others, on the memory as it is now."""
        vector, golden = job.vector, golden_end(self._mode, job.vector.root, job.vector.va, job.control, self._words.entry)
        if job.phase != COLD:
            return golden._replace(reads=None)
        updates = () if vector.update is None else (tuple(vector.update),)
        pa = vector.pa if vector.status == TRANSLATED else 0
        reads = tuple(address // WORD * WORD for address in vector.reads)
        return End(vector.status, vector.cause, pa, reads, updates, golden.pbmt, golden.reason)

    def _answer(self, port: int) -> None:
        get, prefix = self._host.get, f"answer{port}.payload."
        tag, status, exception, pa, pbmt, reason = (get(prefix + name) for name in ("tag", "status", "exception", "pa", "pbmt", "reason"))
        job = self._asked[port].pop(tag, None)
        if job is None:
            self._stray(f"answer with the tag {tag} at port {port}, which waits for none")
            return
        self._tags[port].append(tag)
        self._progress = self.cycles
        self.requests += 1
        ends = (TRANSLATED, RETRY, ACCESS_FAULT if exception in ACCESS_FAULTS else PAGE_FAULT, RETRY)
        reads = tuple(job.reads) if job.phase == COLD else None
        got = End(ends[status], exception, pa, reads, tuple(job.updates), pbmt, reason)
        assert job.expected is not None
        if got != job.expected:
            self.differences.setdefault(job.vector.number, Difference(job.vector.number, PHASES[job.phase], job.control, job.expected, got))
        if job.phase != COLD and got.status == TRANSLATED and not job.reads:
            self.found[PHASES[job.phase]] += 1
        if not job.advance():
            self._active -= 1
            self._done += 1
            self._on_progress(self._done)
        elif job.vector.number % 2:
            self._pausing.append((self.cycles + PAUSE, job))
        else:
            self._ask(job)

    def _ask(self, job: Job) -> None:
        self._queues[job.port % self._config.ports].append(job)
