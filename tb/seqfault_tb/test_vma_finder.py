"""VmaFinder against a Python model of the tree: exact answers when nothing changes, and its promise when everything does."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import FindRequest, FindResponse, SpaceEntry

from .fields import pack, unpack
from .memory_ports import ReadResponder, WordMemory
from .move_memory import LatentReads
from .vma_trees import KIND_RECORD, TreeBuilder, Vma

OK, NO_VMA, BUS_ERROR, BAD_TREE = 0, 1, 16, 22
SHARED, ANON = 1 << 3, 1 << 4
PATIENCE = 20000
"""Cycles in which all lookups must be answered."""
SETTLE_NS = 1
HASTE = 0.25
"""Probability that a writer goes on with its change in a cycle."""
MOST_VMAS = 12
SEED = int(os.environ.get("FINDER_SEED", "1"))
LOOKUPS = int(os.environ["LOOKUPS"])


class Bench:
    """Drives a VmaFinder cycle by cycle; `roots` by space and `sequences` by id are the on-chip tables, changed by a command in the next cycle.

    `hint` is given in that cycle: a space and a page.
    """

    def __init__(self, dut, rng: Random, **memory_options) -> None:
        self.dut, self.rng = dut, rng
        self.memory = WordMemory()
        self.builder = TreeBuilder(self.memory, rng)
        self.roots: dict[int, int] = {}
        self.sequences: dict[int, int] = {}
        self.read = ReadResponder(dut, "memory", self.memory, rng, **memory_options)
        self.waiting: list[tuple[int, int]] = []
        self.outstanding: dict[int, tuple[int, int]] = {}
        self.accepted: dict[int, int] = {}
        self.latencies: list[int] = []
        self.answers: list[tuple[int, int, dict]] = []
        self.flush: int | None = None
        self.hint: tuple[int, int] | None = None
        self.shown: tuple[dict[int, int], dict[int, int]] = {}, {}
        self.held: int | None = None
        self.response_ready = 0.7
        self.cycles = 0

    async def start(self) -> None:
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        for name in ("request__valid", "response__ready", "memory__request__ready", "memory__response__valid", "flush_space", "hint", "command"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def cycle(self) -> list[tuple[int, int, dict]]:
        """One clock cycle; returns the answers taken in it as (space, vpn, response)."""
        dut, rng = self.dut, self.rng
        await FallingEdge(dut.clk)
        self.cycles += 1
        free = [tag for tag in range(64) if tag not in self.outstanding]
        offer = bool(self.waiting and free)
        tag = free[0] if offer else 0
        if offer:
            dut.request__payload.value = pack(FindRequest, {"space": self.waiting[0][0], "vpn": self.waiting[0][1], "tag": tag})
        dut.request__valid.value = offer
        dut.response__ready.value = rng.random() < self.response_ready
        dut.flush_space.value = self.flush is not None
        dut.flush_index.value = self.flush or 0
        self.flush = None
        dut.hint.value = self.hint is not None
        dut.hint_space.value, dut.hint_vpn.value = self.hint or (0, 0)
        self.hint = None
        dut.command.value = self.shown != (self.roots, self.sequences)
        self.read.drive()
        await Timer(SETTLE_NS, unit="ns")
        roots, sequences = self.shown
        dut.sequence.value = sequences.get(int(dut.sequence_id.value), 0)
        dut.space_entry.value = pack(SpaceEntry, {"mode": 8, "vmas": roots.get(int(dut.space.value), 0)})
        await Timer(SETTLE_NS, unit="ns")
        self.read.sample()
        taken = []
        offer_now = int(dut.response__payload.value) if dut.response__valid.value else None
        assert self.held in (None, offer_now), "response: an offer changed before it was taken"
        self.held = None if dut.response__ready.value else offer_now
        if dut.response__valid.value and dut.response__ready.value:
            answer = unpack(FindResponse, int(dut.response__payload.value))
            assert answer["tag"] in self.outstanding, f"answer to nobody: {answer}"
            taken.append((*self.outstanding.pop(answer["tag"]), answer))
            self.latencies.append(self.cycles - self.accepted[answer["tag"]])
        if offer and dut.request__ready.value:
            self.outstanding[tag], self.accepted[tag] = self.waiting.pop(0), self.cycles
        if self.shown != (self.roots, self.sequences):
            self.shown = dict(self.roots), dict(self.sequences)
        self.answers += taken
        return taken

    async def drain(self) -> list[tuple[int, int, dict]]:
        """Run until every lookup was answered; returns the answers since the last call."""
        for _ in range(PATIENCE):
            if not self.waiting and not self.outstanding:
                break
            await self.cycle()
        left = [*self.waiting, *self.outstanding.values()]
        assert not left, f"lookups without an answer: {left}"
        answers, self.answers = self.answers, []
        return answers

    def random_vmas(self, count: int, first_id: int = 1) -> list[Vma]:
        """`count` VMAs, some adjacent, some with gaps, records written."""
        vmas, page = [], self.rng.choice((0, 3, 1 << 20, 1 << 33))
        for index in range(count):
            page += self.rng.choice((0, 0, 1, 7, 1 << 18))
            size = self.rng.choice((1, 1, 2, 9, 512, 100_000))
            vma = Vma(
                id=first_id + index, start=page, end=page + size, flags=self.rng.getrandbits(9), page_prot=self.rng.getrandbits(10),
                record=self.builder.new_record(), pgoff=self.rng.getrandbits(52), backing=self.rng.getrandbits(64),
            )  # fmt: skip
            self.builder.write_record(vma)
            vmas.append(vma)
            page += size
        return vmas

    def random_page(self, vmas: list[Vma]) -> int:
        """A page at an edge of a VMA or in it, at times anywhere."""
        if not vmas or self.rng.random() < 0.05:
            return self.rng.getrandbits(36)
        vma = self.rng.choice(vmas)
        page = self.rng.choice((vma.start, vma.end - 1, vma.end, vma.start - 1, self.rng.randrange(vma.start, vma.end)))
        return min(max(page, 0), (1 << 36) - 1)


def find(vmas: list[Vma], page: int) -> Vma | None:
    """The last VMA that starts at or below the page, whether it covers it or not."""
    return max((vma for vma in vmas if vma.start <= page), key=lambda vma: vma.start, default=None)


def is_anonymous(vma: Vma) -> bool:
    return vma.flags & (SHARED | ANON) == ANON


def check_found(answer: dict, vma: Vma) -> None:
    fields = {"start": vma.start, "end": vma.end, "id": vma.id, "flags": vma.flags, "page_prot": vma.page_prot}
    if not is_anonymous(vma):
        fields |= {"pgoff": vma.pgoff, "backing": vma.backing}
    found = {name: answer["fields"][name] for name in fields}
    assert found == fields, f"fields {found} instead of {fields}"
    assert answer["record_addr"] == vma.record, f"record at {answer['record_addr']:#x} instead of {vma.record:#x}"


@cocotb.test()
async def random_trees(dut) -> None:
    """Trees of 0 to 300 VMAs in several spaces, looked up concurrently: every answer is exact, and the cache is used."""
    rng = Random(SEED)
    bench = Bench(dut, rng)
    await bench.start()
    compared = found = cheap = 0
    next_id = 1
    spaces: dict[int, list[Vma]] = {}
    for count in (0, 1, 2, 8, 9, 40, 300):
        space = rng.choice([s for s in range(16) if s not in spaces])
        spaces[space] = bench.random_vmas(count, next_id)
        next_id += count
        bench.roots[space] = bench.builder.tree(spaces[space])
        for vma in spaces[space]:
            bench.sequences[vma.id] = rng.getrandbits(31) << 1
    for _ in range(8):
        hot = rng.sample(sorted(spaces), 2)
        bench.response_ready, near = rng.choice((0.2, 1.0)), rng.choice((0.5, 0.95))
        for _ in range(60):
            space = rng.choice(hot)
            page = bench.random_page(spaces[space][:2] if rng.random() < near else spaces[space])
            bench.waiting.append((space, page))
        before = bench.read.requests
        answers = await bench.drain()
        cheap += bench.read.requests - before < len(answers)
        for space, page, answer in answers:
            vma = find(spaces[space], page)
            assert answer["outcome"] == (NO_VMA if vma is None else OK), f"page {page:#x} of space {space}: {answer}, expected {vma}"
            if vma is not None:
                check_found(answer, vma)
                assert answer["seq"] == bench.sequences[vma.id]
                found += 1
            compared += 1
    assert compared == 480
    assert found > 100
    assert cheap, "no round was answered by the cache"


class Writer:
    """Software that changes one space's VMAs, each change in small steps between SEQ.BEGIN and SEQ.END of the VMA's id."""

    def __init__(self, bench: Bench, space: int) -> None:
        self.bench, self.space, self.rng = bench, space, bench.rng
        self.vmas = bench.random_vmas(12)
        self.next_id = 13
        self.published = 0
        self.last = self.vmas[0]
        self._steps: list[Callable[[], None]] = []
        self._publish()

    def _publish(self) -> None:
        self.bench.roots[self.space] = self.bench.builder.tree(self.vmas)
        self.published += 1

    def step(self, start: float) -> None:
        """Do the next small step of a change, soon after the last; begin another change with probability `start`."""
        if self._steps:
            if self.rng.random() < HASTE:
                self._steps.pop(0)()
            return
        if self.rng.random() >= start:
            return
        victim = self.rng.choice(self.vmas)
        may_split = victim.end - victim.start > 1 and len(self.vmas) < MOST_VMAS
        change = self.rng.choice((self._edit, self._split if may_split else self._replace, self._replace))
        self.last = victim
        self._begin(victim.id)
        change(victim)
        self._steps.append(lambda: self._end(victim.id))

    def page(self) -> int:
        """A page to look up, often one that is being changed."""
        if self.rng.random() < 0.5:
            return self.rng.randrange(self.last.start, self.last.end)
        return self.bench.random_page(self.vmas)

    def _begin(self, vma_id: int) -> None:
        self.bench.sequences[vma_id] = (self.bench.sequences.get(vma_id, 0) | 1) + 2

    def _end(self, vma_id: int) -> None:
        self.bench.sequences[vma_id] -= 1

    def _edit(self, victim: Vma) -> None:
        """Change the record where it is, word by word."""
        above = min((vma.start for vma in self.vmas if vma.start > victim.start), default=victim.start + 2000)
        end = self.rng.choice((above, self.rng.randint(victim.start + 1, above)))
        pgoff, backing = self.rng.getrandbits(52), self.rng.getrandbits(64)
        changed = replace(victim, end=end, flags=self.rng.getrandbits(9), page_prot=self.rng.getrandbits(10), pgoff=pgoff, backing=backing)
        self.vmas[self.vmas.index(victim)] = changed
        for offset, word in ((8, changed.end), (16, changed.flags), (24, changed.page_prot), (32, pgoff), (40, backing)):
            self._steps.append(partial(self.bench.memory.__setitem__, victim.record + offset, word))

    def _split(self, victim: Vma) -> None:
        """Two records of their own; the first half keeps the id."""
        middle = self.rng.randrange(victim.start + 1, victim.end)
        self._exchange(victim, [(victim.id, victim.start, middle), (self._new_id(), middle, victim.end)])

    def _replace(self, victim: Vma) -> None:
        """Unmap it, and map something above all others."""
        start = self.vmas[-1].end + self.rng.choice((0, 5))
        self._exchange(victim, [(self._new_id(), start, start + self.rng.choice((2, 900)))])

    def _exchange(self, victim: Vma, parts: list[tuple[int, int, int]]) -> None:
        self.vmas.remove(victim)
        for vma_id, start, end in parts:
            part = replace(victim, id=vma_id, start=start, end=end, record=self.bench.builder.new_record())
            self.bench.builder.write_record(part)
            self.vmas.append(part)
        self.vmas.sort(key=lambda vma: vma.start)
        self._steps.append(self._publish)

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id


@cocotb.test()
async def racing_writers(dut) -> None:
    """VMAs are edited, unlinked, split and linked while lookups run: an even, current sequence means the present record."""
    rng = Random(SEED + 1)
    bench = Bench(dut, rng, rate=0.95)
    await bench.start()
    space = 3
    writer = Writer(bench, space)
    bench.response_ready = 0.2
    trusted = outdated = 0
    for cycle in range(100_000):
        if cycle > 8000 and trusted > 500 and outdated > 10:
            break
        if len(bench.waiting) < 3 and rng.random() < 0.2:
            bench.waiting.append((space, writer.page()))
        if rng.random() < 0.3:
            bench.hint = rng.choice([(space, writer.page()), *bench.waiting])
        writer.step(start=0.2 if cycle % 8000 < 1000 else 0.003)  # in a storm hardly a descent ends under the root with which it began
        for _, page, answer in await bench.cycle():
            if answer["outcome"] == NO_VMA:
                continue
            assert answer["outcome"] == OK, answer
            vma_id = answer["fields"]["id"]
            if answer["seq"] & 1 or answer["seq"] != bench.sequences.get(vma_id, 0):
                outdated += 1
                continue
            if not answer["fields"]["start"] <= page < answer["fields"]["end"]:
                continue  # something may have been mapped there since; the fault ends at R5
            vma = find(writer.vmas, page)
            assert vma is not None, f"page {page:#x} is not mapped, but {answer}"
            check_found(answer, vma)
            trusted += 1
    await bench.drain()
    assert trusted > 500
    assert outdated > 10
    assert writer.published > 20


@cocotb.test()
async def cache_follows_the_sequence(dut) -> None:
    """A record found twice is read once; after a change of its sequence it is read again."""
    bench = Bench(dut, Random(SEED + 2), ready=1.0, rate=1.0)
    await bench.start()
    (vma,) = bench.random_vmas(1)
    bench.roots[1] = bench.builder.tree([vma])

    async def look() -> int:
        before = bench.read.requests
        bench.waiting.append((1, vma.start))
        ((_, _, answer),) = await bench.drain()
        assert answer["outcome"] == OK
        check_found(answer, vma)
        assert answer["seq"] == bench.sequences.get(vma.id, 0)
        return bench.read.requests - before

    assert [await look() for _ in range(3)] == [2, 0, 0]
    bench.sequences[vma.id] = 3
    assert [await look() for _ in range(2)] == [2, 2], "what was read under an odd sequence must not be kept"
    vma = replace(vma, flags=vma.flags ^ 0x1FF)
    bench.builder.write_record(vma)
    bench.sequences[vma.id] = 2
    assert [await look() for _ in range(2)] == [2, 0]


@cocotb.test()
async def reused_space(dut) -> None:
    """A space gets another tree with the same ids and sequences: after the flush no answer comes from the old one."""
    rng = Random(SEED + 3)
    bench = Bench(dut, rng)
    await bench.start()
    checked = 0
    for _ in range(25):
        old = bench.random_vmas(3)
        bench.roots[5] = bench.builder.tree(old)
        bench.flush = 5
        bench.waiting += [(5, vma.start) for vma in old for _ in range(2)]
        for _ in range(rng.randrange(80)):
            await bench.cycle()
        new = [replace(vma, flags=vma.flags ^ 1, record=bench.builder.new_record()) for vma in old]
        for vma in new:
            bench.builder.write_record(vma)
        bench.roots[5] = bench.builder.tree(new)
        bench.flush = 5
        await bench.cycle()
        await bench.drain()
        bench.waiting += [(5, vma.start) for vma in new]
        for _, page, answer in await bench.drain():
            check_found(answer, find(new, page))
            checked += 1
        # a request in the cycle of a flush
        (vma,) = [replace(vma, record=bench.builder.new_record()) for vma in new[-1:]]
        bench.builder.write_record(vma)
        bench.roots[5] = bench.builder.tree([vma])
        bench.flush = 5
        bench.waiting.append((5, vma.start))
        for _, _, answer in await bench.drain():
            check_found(answer, vma)
            checked += 1
    assert checked == 100


@cocotb.test()
async def errors(dut) -> None:
    """Malformed trees are BAD_TREE, bus errors BUS_ERROR, and neither disturbs the lookups beside it."""
    rng = Random(SEED + 4)
    bench = Bench(dut, rng)
    await bench.start()
    (vma,) = bench.random_vmas(1)
    build = bench.builder
    leaf = build.node([(vma.start, vma.id, vma.record | KIND_RECORD)])

    def chain(length: int) -> int:
        pointer = leaf
        for _ in range(length - 1):
            pointer = build.node([(0, 0, pointer)])
        return pointer

    broken_node, broken_record = build.node([(0, 0, leaf)]), build.new_record()
    end_failing = {flags: replace(vma, flags=flags, record=build.new_record()) for flags in (ANON, SHARED | ANON, 0)}
    for broken in end_failing.values():
        build.write_record(broken)
        bench.memory.failing.add(broken.record + rng.choice((32, 40)))
    bench.memory.failing |= {(broken_node & ~63) + 40, broken_record + 8}
    cases = {
        0: (0, NO_VMA), 1: (vma.record | KIND_RECORD, BAD_TREE), 2: (leaf | 3, BAD_TREE), 3: (leaf + 64, BAD_TREE),
        4: (chain(8), OK), 5: (chain(9), BAD_TREE), 6: (build.node([(0, 0, leaf | 3)]), BAD_TREE), 7: (broken_node, BUS_ERROR),
        8: (build.node([(0, 1, broken_record | KIND_RECORD)]), BUS_ERROR), 9: (build.node([]), NO_VMA),
        10: (build.node([(vma.end, 1, vma.record | KIND_RECORD)]), NO_VMA), 11: (build.node([(0, 0, leaf | 1 << 60)]), OK),
        12: (build.tree([end_failing[ANON]]), OK), 13: (build.tree([end_failing[SHARED | ANON]]), BUS_ERROR),
        14: (build.tree([end_failing[0]]), BUS_ERROR),
    }  # fmt: skip
    bench.roots = {space: root for space, (root, _) in cases.items()}
    bench.waiting = [(space, vma.start) for space in cases for _ in range(3)]
    rng.shuffle(bench.waiting)
    answers = await bench.drain()
    assert len(answers) == 3 * len(cases)
    for space, _, answer in answers:
        assert answer["outcome"] == cases[space][1], f"case {space}: {answer}"
        if answer["outcome"] == OK:
            check_found(answer, end_failing[ANON] if space == 12 else vma)


@cocotb.test()
async def cycles(dut) -> None:
    """As the finder's docstring says, at three latencies, for trees of one to three nodes."""
    rng = Random(SEED + 5)
    bench = Bench(dut, rng)
    await bench.start()
    bench.response_ready = 1.0
    bench.read = LatentReads(dut, "memory", bench.memory, rng)
    for latency in (1, 5, 20):
        bench.read.set_pace(ready=1.0, rate=1.0, latency=lambda latency=latency: latency)
        for flags, rest in ((ANON, 0), (ANON | SHARED, 2), (0, 2)):
            for nodes in (1, 2, 3):
                (vma,) = bench.random_vmas(1)
                vma = replace(vma, flags=flags)
                bench.builder.write_record(vma)
                bench.roots[1] = bench.builder.tree([vma])
                for _ in range(nodes - 1):
                    bench.roots[1] = bench.builder.node([(0, 0, bench.roots[1])])
                bench.flush = 1
                await bench.cycle()
                for expected in (25 + 2 * latency + rest + (nodes - 1) * (17 + latency), 1):
                    bench.waiting.append((1, vma.start))
                    ((_, _, answer),) = await bench.drain()
                    check_found(answer, vma)
                    cold = expected > 1
                    assert bench.latencies[-1] == expected, f"{cold=} {flags=:#x} {nodes=} {latency=}: {bench.latencies[-1]} cycles, not {expected}"


@cocotb.test()
async def hints(dut) -> None:
    """A request takes over the lookup of its hint, unless a command came between; nobody answers a hint; it fills the cache."""
    rng = Random(SEED + 6)
    bench = Bench(dut, rng)
    await bench.start()
    bench.response_ready = 1.0
    bench.read = LatentReads(dut, "memory", bench.memory, rng)
    latency = 5
    bench.read.set_pace(ready=1.0, rate=1.0, latency=lambda: latency)
    cold = 25 + 2 * latency
    cases = (  # cycles from hint to request, and to a command (0: none); cycles from request to answer, at least and most; bursts read
        (1, 0, cold - 1, cold - 1, 2), (20, 0, cold - 20, cold - 20, 2), (60, 0, 1, 1, 2),
        (10, 1, cold, cold, 2), (20, 10, cold, cold + 20, 3), (60, 1, cold, cold, 2), (60, 32, cold, cold, 4),
        (20, 20, cold, cold + 20, 3),
    )  # fmt: skip
    if LOOKUPS == 1:  # a hint never takes the last place
        cases = ((1, 0, cold, cold, 2), (60, 0, cold, cold, 2))
    for gap, command, least, most, reads in cases:
        (vma,) = bench.random_vmas(1)
        vma = replace(vma, flags=ANON)
        bench.builder.write_record(vma)
        bench.roots[1] = bench.builder.tree([vma])
        bench.flush = 1
        await bench.cycle()
        before = len(bench.read.asked)
        bench.hint = (1, vma.start)
        await bench.cycle()
        for passed in range(1, gap + 1):
            if passed == command:
                bench.sequences[4000] = bench.sequences.get(4000, 0) + 2
            if passed < gap:
                await bench.cycle()
        bench.waiting.append((1, vma.start))
        ((_, _, answer),) = await bench.drain()
        check_found(answer, vma)
        took, read = bench.latencies[-1], len(bench.read.asked) - before
        assert least <= took <= most, f"{gap=} {command=}: {took} cycles instead of {least} to {most}"
        assert read == reads, f"{gap=} {command=}: {read} bursts instead of {reads}"


@cocotb.test()
async def two_hints_for_a_page(dut) -> None:
    """Two walks for a page give two hints; each request takes over one, and each gets one answer."""
    rng = Random(SEED + 7)
    bench = Bench(dut, rng)
    await bench.start()
    (vma,) = bench.random_vmas(1)
    bench.roots[1] = bench.builder.tree([vma])
    await bench.cycle()
    for gap in range(1, 12):
        for _ in range(2):
            bench.hint = (1, vma.start)
            for _ in range(gap):
                await bench.cycle()
        for requests in (1, 2):
            bench.waiting += [(1, vma.start)] * requests
            answers = await bench.drain()
            assert len(answers) == requests
            for _, _, answer in answers:
                check_found(answer, vma)
        for _ in range(PATIENCE // 10):
            await bench.cycle()
        assert bench.answers == [], "answers to nobody"
        bench.flush = 1
        await bench.cycle()
