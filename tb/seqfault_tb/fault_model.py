"""What the fault unit and the commands share, in plain Python, and the check of every step against it.

Written from docs/software-contract.md; the steps of one fault are in `fault_life.py`.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from seqfault_golden.layout import Outcome, Step

from .fault_life import LOW_48, VPN_MASK, FaultLife, Steps

__all__ = ["POLICIES", "FaultContext", "FaultModel", "show"]

POLICIES = {"spec": 0, "vma-lock": 1, "mm-lock": 2}
OUTPUTS = ("find_request", "walk_request", "write", "page_request", "look_request", "move_job", "around_job", "answers")
WINDOW_LOG2 = 4
"""Pages of a fault-around window, as a power of two."""


@dataclass
class FaultContext:
    """One fault: its request, the answers that came for it, and its snapshot.

    `request` has the fields of `FaultRequest`; `inbox` the answers by kind, `waits` those that it needs for its next step; `trail` the steps
    so far; `last_step` the cycle of its last step, at first that of its acceptance; `stale`, `raced`, `table_raced` what happened to its page
    while `watching`; `vma` the record as found; `entry` what the walk found, `overwrites` what must be there when its write takes effect;
    `plan` where its frame comes from (`fault_pages_life.py`), `content` what the frame must hold; `parked` for a PTE lock, `unflushed` until
    the TLBs are done; `bank` the one that it entered as an SRCU reader.
    """

    agent: int
    request: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    attempt: int = 0
    classic: bool = False
    holds_vma: bool = False
    locked: bool = False
    owned: bool = False
    parked: bool = False
    done: bool = False
    watching: bool = False
    stale: bool = False
    raced: bool = False
    table_raced: bool = False
    unflushed: bool = False
    around: bool = False
    bank: int | None = None
    id: int = 0
    seq: int = 0
    vma: dict[str, int] = field(default_factory=dict)
    plan: str = ""
    pte_addr: int = 0
    entry: int = 0
    overwrites: int = 0
    slot: int = 0
    slot_addr: int = 0
    frame: int = 0
    content: Any = 0
    mapped_pa: int = 0
    last_step: int = 0
    inbox: dict[str, Any] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)
    trail: list[str] = field(default_factory=list)

    def take(self, kind: str) -> Any:
        """The answer that this step needs; it must have arrived."""
        assert kind in self.inbox, f"context {self.agent} steps before the answer of {kind}"
        return self.inbox.pop(kind)


class FaultModel:
    """Sequence counters, locks, frames, and the faults under way.

    Attributes
    ----------
    strobes : what the step just checked must do to other blocks in the same cycle (not named: 0).
    outputs : requests and answers that must appear at the ports, in order.
    pool, used, lost : free frames (PPNs), those that came back after a copy (`came_back` counts), and those that nobody may use again.
    contents : what frames hold (not named: what they came with). released : entries that went to the released ring.
    available, released_ready, flushing, enter_bank : what the blocks around say in this cycle. invalidated : the TLBs have begun with one.
    known_walks : walks that were not made again. answered : every fault with its answer. pinned : contexts inside an attempt.
    """

    def __init__(self, *, contexts: int, sequence_entries: int, max_retries: int, lock_rounds: int, patience: int) -> None:
        self.contexts, self.entries, self.max_retries = contexts, sequence_entries, max_retries
        self.lock_rounds, self.patience = lock_rounds, patience
        self.policy, self.zero_frame, self.cycle = "spec", 0, 0
        self.generation, self.writers, self.readers = ([0] * sequence_entries for _ in range(3))
        self.locks: dict[int, int] = {}
        self.mm_writer: set[int] = set()
        self.mm_readers: dict[int, set[int]] = {}
        self.mm_claim: int | None = None
        self.vma_claim: int | None = None
        self.pool: deque[int] = deque()
        self.used: deque[int] = deque()
        self.lost: list[int] = []
        self.came_back = 0
        self.contents: dict[int, Any] = {}
        self.released: list[int] = []
        self.invalidated = False
        self.unzeroed = self.available = self.released_ready = self.flushing = False
        self.enter_bank = 0
        self.accepted: list[tuple[int, dict[str, int]]] = []
        self.running: dict[int, tuple[FaultContext, Steps]] = {}
        self.strobes: dict[str, Any] = {}
        self.pinned: set[int] = set()
        self.commands = 0
        self.known_walks = 0
        self._noted: dict[int, tuple[int, int]] = {}
        self.commits: Counter[int] = Counter()
        self.outputs: dict[str, deque[dict[str, Any]]] = {name: deque() for name in OUTPUTS}
        self.answered: list[tuple[FaultContext, dict[str, int]]] = []

    def sequence(self, vma_id: int) -> int:
        """What readers see of this id's counter."""
        entry = vma_id % self.entries
        return (self.generation[entry] << 1 | (self.writers[entry] != 0)) & 0xFFFFFFFF

    def may_read(self, space: int) -> bool:
        """A reader may take the mm lock."""
        return space not in self.mm_writer and self.mm_claim != space

    def step(self, event: dict[str, int]) -> FaultContext:
        """A context executes a step now: raises AssertionError unless the event is what the contract demands."""
        agent = event["agent"]
        assert agent < self.contexts, f"there is no context {agent}"
        began = agent not in self.running
        if began:
            new = FaultContext(agent)
            self.running[agent] = (new, FaultLife(self, new).run())
        c, steps = self.running[agent]
        if c.attempt == 0 and (not c.request or event["first"] == Step.R0):
            self._match(c, event)
        self.strobes = {"count_began": int(began)}
        self.may_step(agent)
        c.waits.clear()
        expected = next(steps)
        assert event == expected, f"context {agent} after {' '.join(c.trail)}:\n  is   {show(event)}\n  must {show(expected)}"
        c.last_step = self.cycle
        c.trail.append(show(event).split()[0])
        if c.done:
            self.strobes |= {"count_ended": 1}
            left = [name for name in ("locked", "owned", "holds_vma", "classic") if getattr(c, name)]
            assert not left, f"context {agent} ends, still {left}"
            assert agent not in self.pinned
            assert not c.inbox, f"context {agent} ends with answers of {list(c.inbox)}"
            del self.running[agent]
        return c

    def may_step(self, agent: int) -> None:
        """A context has the step slot: it has a fault, and does not wait for anything. What woke it did so once."""
        assert agent in self.running or self.accepted, f"context {agent} steps, which has no fault"
        c = self.running[agent][0] if agent in self.running else None
        if c is not None:
            missing = c.waits - set(c.inbox)
            assert not missing, f"context {agent} steps before the answer of {missing}"
            assert not c.parked, f"context {agent} goes on although no lock was released"
            assert not c.unflushed, f"context {agent} goes on before the TLBs are done"

    def _match(self, c: FaultContext, event: dict[str, int]) -> None:
        """Which accepted fault is this? R0 names its requester, an MM_READ_LOCK before it only the page."""
        if c.request:
            self.accepted.append((c.accepted, c.request))
        requester = (event["data"] >> 6 & 0xFF, event["data"] >> 14 & 0x1FF)
        for index, (when, request) in enumerate(self.accepted):
            same = (request["space"], request["vpn"] & LOW_48) == (event["space"], event["vpn"])
            if same and (event["first"] != Step.R0 or (request["port"], request["tag"]) == requester):
                c.accepted, c.request = self.accepted.pop(index)
                c.last_step = c.last_step or when
                return
        raise AssertionError(f"an event of a fault that nobody asked for: {show(event)}")

    def deliver(self, agent: int, kind: str, content: Any) -> None:
        """An answer for a context arrives."""
        assert agent in self.running, f"{kind} answer for context {agent}, which has no fault"
        self.running[agent][0].inbox[kind] = content

    def invalidate(self, *, space: int | None, vpn: int | None, mask: int) -> None:
        """Pages are invalidated (None: all)."""
        self.invalidated = True
        for c, _ in self.running.values():
            if c.watching and space in (None, c.request["space"]) and (vpn is None or not (vpn ^ c.request["vpn"]) & ~mask & VPN_MASK):
                c.stale = True

    def changed(self, space: int, vpn: int) -> None:
        """A leaf entry in this page's line of eight changed."""
        for c, _ in self.running.values():
            if c.watching and space == c.request["space"] and vpn >> 3 == (c.request["vpn"] & VPN_MASK) >> 3:
                c.raced = True

    def surrounded(self, space: int, vpn: int) -> None:
        """Leaf entries in the window of this page changed."""
        self.commands += 1
        for c, _ in self.running.values():
            if c.watching and (space, vpn >> WINDOW_LOG2) == (c.request["space"], (c.request["vpn"] & VPN_MASK) >> WINDOW_LOG2):
                c.raced = True

    def tabled(self, space: int) -> None:
        """A table was made in this space."""
        for c, _ in self.running.values():
            c.table_raced |= c.watching and c.request["space"] == space

    def updated(self, space: int, vpn: int) -> None:
        """An A/D update of this page begins or ends."""
        for c, _ in self.running.values():
            c.raced |= c.watching and (space, vpn) == (c.request["space"], c.request["vpn"] & VPN_MASK)

    def flushed(self) -> None:
        """The TLBs are done with invalidations: who waits for that may go on."""
        for c, _ in self.running.values():
            c.unflushed = False

    def committed(self, space: int, vpn: int) -> None:
        """The fault unit's entry for this page is visible."""
        self.commits[vpn & 15] += 1
        for c, _ in self.running.values():
            if c.watching and (space, vpn) == (c.request["space"], c.request["vpn"] & VPN_MASK):
                c.raced = True

    def _changes(self, vpn: int) -> tuple[int, int]:
        """Commands so far, and commits for pages with the low number of this one; see `page_changes.py`."""
        return self.commands, self.commits[vpn & 15]

    def note_walk(self, fault: dict[str, Any]) -> None:
        """The miss's walk for this fault has found its entry empty."""
        self._noted[id(fault)] = self._changes(fault["vpn"])

    def is_walk_known(self, fault: dict[str, Any]) -> bool:
        """Nothing has changed since then."""
        known = self._noted.get(id(fault)) == self._changes(fault["vpn"])
        self.known_walks += known
        return known

    def lock_freed(self) -> None:
        """Somebody released a table's lock: the parked faults may go on."""
        for c, _ in self.running.values():
            c.parked = False


def show(event: dict[str, int]) -> str:
    """An event for people: steps, outcome, then the other fields."""
    first, last, outcome = Step(event["first"]).name, Step(event["last"]).name, Outcome(event["outcome"]).name
    steps = first if first == last else f"{first}-{last}"
    rest = " ".join(f"{name}={value:#x}" for name, value in event.items() if name not in ("first", "last", "outcome"))
    return f"{steps}{'' if outcome == 'OK' else '!' + outcome} {rest}"
