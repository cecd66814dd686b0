"""What the walker owes its clients."""

from collections.abc import Callable

from amaranth import Cat, Module, Mux, Signal, Value

from seqfault_rtl.messages import WalkResponse
from seqfault_rtl.walker import Walker

from .memory import WalkMemory
from .spec import Inside, Spec, any_const, drive, havoc, opened

__all__ = ["AnswersOnce", "AnswersTwice", "EndsInTime", "EndsInTimeSoon", "LosesRead", "WalkEnvironment"]


class WalkEnvironment(Spec):
    """A walker whose page-table entries and cached pointers are anything: which walks end where is for the environment to say."""

    dut: Walker

    def surround(self, m: Module, *, latency: int | None, stall: int | None) -> tuple[Inside, WalkMemory, Value, Value]:
        """Drive all inputs; returns the inside, the memory, and whether the watched request (some client, some tag) is taken and answered."""
        dut = self.dut
        drive(m, dut)
        memory = WalkMemory(self, m, dut.memory, tags=dut._config.walk_slots, latency=latency, stall=stall)
        inside = opened(dut)
        self.begin = opened(inside.block("begin"))
        entry, cache = inside.block("entry"), self.begin.block("cache")
        havoc(entry)
        havoc(cache)
        self.assume(m, ~entry.go_on | (entry.level != 0))
        self.assume(m, ~cache.hit | (cache.level + 1 < cache.levels))
        self.client, self.tag = any_const(m, range(dut._clients), "client"), any_const(m, 6, "tag")
        self.assume(m, self.client < dut._clients)
        asked, answered = Signal(name="asked"), Signal(name="answered")
        for index, (request, response) in enumerate(zip(dut.requests, dut.responses, strict=True)):
            with m.If(self.client == index):
                m.d.comb += [
                    asked.eq(request.valid & request.ready & (request.payload.tag == self.tag)),
                    answered.eq(response.valid & response.ready & (response.payload.tag == self.tag)),
                ]
        return inside, memory, asked, answered

    def place_slots(self, m: Module, inside: Inside, memory: WalkMemory, check: Callable[[Module, str, Value], None]) -> None:
        """A slot in use is in exactly one place, says `check`; the rest are lemmas."""
        dut, count = self.dut, self.dut._config.walk_slots
        levels, clients = inside.local("elaborate", "levels", "clients")
        tags = [inside.row(m, "tags", slot) for slot in range(count)]
        waiting, held, offered = inside.local("_queue_reads", "waiting", "held", "offered")
        reads = [(used, row[-dut._slot_bits :]) for used, row in inside.queue(m, "reads", count)]
        first = Value.cast(held)[-dut._slot_bits :]
        done = [inside.queue(m, f"done_{client}", count) for client in range(dut._clients)]
        for slot in range(count):
            queued = [used & (which == slot) for used, which in reads]
            places = [waiting & (first == slot), *queued, memory.in_flight[slot]]
            self.lemma(m, f"level_{slot}", ~Cat(places).any() | (levels[slot] < dut._config.levels))
            bare = dut._bare & (dut._bare_slot == slot)
            self.lemma(m, f"bare_tag_{slot}", ~bare | (dut._bare_tag == tags[slot]))
            places.append(bare)
            for client, queue in enumerate(done):
                response = inside.named(f"waiting_{client}") & (inside.named(f"slot_{client}") == slot)
                ended = [used & (which == slot) for used, which in queue]
                places += [response, *ended]
                payload = WalkResponse(inside.named(f"held_{client}"))
                kept = inside.row(m, "ends", slot)
                self.lemma(m, f"client_{client}_{slot}", ~(response | Cat(ended).any()) | (clients[slot] == client))
                self.lemma(m, f"tag_{client}_{slot}", ~response | (payload.tag == tags[slot]))
                self.lemma(m, f"kept_tag_{client}_{slot}", ~Cat(ended).any() | (kept.tag == tags[slot]))
            check(m, f"one_place_{slot}", sum(places) == dut.active[slot])
            self.lemma(m, f"client_{slot}", ~dut.active[slot] | (clients[slot] < dut._clients))
        for name in ("reads", *(f"done_{client}" for client in range(dut._clients))):
            fifo = inside.block(name)
            produce, consume = opened(fifo).local("elaborate", "produce", "consume")
            self.lemma(m, f"level_{name}", (fifo.level <= count) & (produce == (consume + fifo.level) % count))
        self.lemma(m, "offered_waits", ~offered | waiting)


class AnswersOnce(WalkEnvironment):
    """Every request is answered at most once, at its client, with its tag; nothing else is answered; and no request is forgotten.

    Forgotten: it is in none of the places from which walks go on, although it was not answered. Any number of requests, any memory that
    answers each read once, any back-pressure. The environment: a client does not use a tag again before its answer.
    """

    def specify(self, m: Module) -> None:
        dut = self.dut
        inside, memory, asked, answered = self.surround(m, latency=None, stall=None)
        pending = Signal()
        m.d.sync += pending.eq((pending | asked) & ~answered)
        self.assume(m, ~(asked & pending))
        self.promise(m, "only_what_was_asked", ~answered | pending | asked)
        slots = range(dut._config.walk_slots)
        tags = [inside.row(m, "tags", slot) for slot in slots]
        clients = inside.local("elaborate", "clients")
        mine = Cat(dut.active[slot] & (clients[slot] == self.client) & (tags[slot] == self.tag) for slot in slots)
        item = self.begin.block("units").output
        entering = item.valid & (item.payload.source + 1 == self.client) & (item.payload.item.tag == self.tag)
        self.promise(m, "not_forgotten", (sum(mine) + entering) == pending)
        slow_turn = opened(self.begin.block("lane")).local("elaborate", "slow_turn")
        self.lemma(m, "turn_of_who_waits", ~slow_turn | item.valid)
        self.place_slots(m, inside, memory, self.promise)


class EndsInTime(WalkEnvironment):
    """A walk that has begun is answered and its answer taken within 22 cycles, if memory accepts a read after at most one cycle and answers
    within two, and clients take a response after at most one.

    Three levels, two walks in flight. That a request begins as soon as there is a slot for it, the others' at least in every second cycle in
    which one may begin, is how the walker's first choice (FastLane) works.
    """

    BOUND, LATENCY, STALL = 22, 2, 1

    def specify(self, m: Module) -> None:
        dut = self.dut
        inside, memory, _, _ = self.surround(m, latency=self.LATENCY, stall=self.STALL)
        for index, response in enumerate(dut.responses):
            memory.count(self, m, f"patience_{index}", self.STALL, response.valid & ~response.ready)
        slot = any_const(m, range(dut._config.walk_slots), "slot")
        age = Signal(range(self.BOUND + 2))
        m.d.sync += age.eq(Mux(dut.active.bit_select(slot, 1) & (age <= self.BOUND), age + 1, 0))
        self.promise(m, "in_time", age <= self.BOUND)
        self.place_slots(m, inside, memory, self.lemma)


class EndsInTimeSoon(EndsInTime):
    """The same within 10 cycles, if memory takes every read at once and answers in the next cycle, and clients take every response at once.

    For planted bugs: a delay shows earlier.
    """

    BOUND, LATENCY, STALL = 10, 1, 0


class AnswersTwice(Walker):
    """A response that is taken at once is queued too."""

    def _respond(self, m, end, stale):  # type: ignore[no-untyped-def]
        super()._respond(m, end, stale)
        m.d.comb += m.submodules.done_0.w_en.eq(end.valid & (end.client == 0))


class LosesRead(Walker):
    """The first read of a walk is dropped when that of a walk under way goes before it."""

    def _queue_reads(self, m, start, first, may_issue, go_on, following):  # type: ignore[no-untyped-def]
        super()._queue_reads(m, start & ~go_on, first, may_issue, go_on, following)
