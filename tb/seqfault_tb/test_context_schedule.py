"""ContextSchedule against a model of contexts that are ready, wait for an answer, or are parked. [fault_context.py, AfterStep]"""

import cocotb

from seqfault_rtl.fault_context import AfterStep

from .state_bench import StateBench
from .state_blocks import STATE_CONFIG

CONTEXTS, PATIENCE = STATE_CONFIG.contexts, STATE_CONFIG.mm_lock_patience
WAKERS = 7
SEEN = {
    AfterStep.GO_ON: "go_on", AfterStep.WAIT: "wait", AfterStep.PARK_LOCK: "lock", AfterStep.PARK_MM: "mm", AfterStep.FREE: "free",
    AfterStep.PARK_FLUSH: "flush",
}  # fmt: skip
FAIR = 4 * CONTEXTS
"""Steps of others that a ready context may have to wait for (two rounds)."""


class Model:
    """`state` of each context in use: ready, wait, lock, mm or flush."""

    def __init__(self) -> None:
        self.state: dict[int, str] = {}
        self.since: dict[int, int] = {}
        self.fresh: set[int] = set()
        self.pinned: set[int] = set()
        self.parked_at: dict[int, int] = {}
        self.steps_of_others: dict[int, int] = {}

    def make(self, agent: int, state: str) -> None:
        self.state[agent] = state
        self.steps_of_others[agent] = 0


@cocotb.test()
async def random_contexts(dut) -> None:
    """Contexts step only when ready, each in its turn; parked ones wake by their lock alone, by patience, or when the TLBs are done."""
    bench = StateBench(dut, "schedule")
    rng = bench.rng
    await bench.start("step", "take", "pin", "unpin", "lock_freed", "mm_freed", "flushed", *(f"wake__{index}" for index in range(WAKERS)))
    model = Model()
    seen = dict.fromkeys(("free", "lock", "mm", "wait", "patience", "go_on", "flush", "flush waits", "flush at once"), 0)
    idle = flushing = 0
    for cycle in range(6000):
        take, slot = rng.random() < 0.3, rng.random() < 0.8
        lock_freed, mm_freed = rng.random() < 0.05, rng.random() < 0.02
        flushing = max(flushing - 1, 0) if rng.random() < 0.95 else rng.randrange(40)
        bench.drive(step=0, take=0, lock_freed=lock_freed, mm_freed=mm_freed, pin=0, unpin=0, flushed=not flushing)
        waiting = [agent for agent, state in model.state.items() if state == "wait"]
        rng.shuffle(waiting)
        woken = [agent for agent in waiting[:WAKERS] if rng.random() < 0.3]
        for index in range(WAKERS):
            bench.drive(**{f"wake__{index}": index < len(woken), f"wake_agent__{index}": woken[index] if index < len(woken) else 0})
        await bench.settle()
        assert bench.read("pinned") == sum(1 << agent for agent in model.pinned)
        has_free, free = bench.read("has_free"), bench.read("free_agent")
        assert has_free == (len(model.state) < CONTEXTS)
        assert not has_free or (free not in model.state and free < CONTEXTS)
        ready = [agent for agent, state in model.state.items() if state == "ready"]
        valid, agent = bench.read("valid"), bench.read("agent")
        stepping = bool(valid) and slot
        after = AfterStep.GO_ON
        if valid:
            overdue = model.state[agent] == "mm" and cycle - model.parked_at[agent] >= PATIENCE
            assert agent in ready or overdue, f"context {agent} steps, which is {model.state.get(agent)}"
            assert bench.read("fresh") == (agent in model.fresh)
            if bench.read("patience_over"):
                assert cycle - model.parked_at[agent] >= PATIENCE, f"patience of context {agent} over at once"
                seen["patience"] += 1
        idle = 0 if valid or not ready else idle + 1
        assert idle <= 2, f"{ready} are ready, none is next"
        over_patience = bool(valid and bench.read("patience_over"))
        for other, state in model.state.items():
            if (state == "lock" and lock_freed) or (state == "mm" and mm_freed) or (state == "flush" and not flushing):
                model.make(other, "ready")
                seen["flush at once"] += state == "flush"
            seen["flush waits"] += state == "flush" and flushing > 0
        for other in woken:
            model.make(other, "ready")
        if stepping:
            choices = [AfterStep.GO_ON, AfterStep.WAIT, AfterStep.PARK_LOCK, AfterStep.PARK_FLUSH, AfterStep.FREE]
            after = rng.choice(choices + ([] if over_patience else [AfterStep.PARK_MM]))
            pin, unpin = rng.choice(((0, 0), (1, 0), (0, 1)))
            bench.drive(step=1, after=after.value, pin=pin, unpin=unpin)
            model.fresh.discard(agent)
            (model.pinned.add if pin else model.pinned.discard)(agent) if pin or unpin else None
            for other in model.state:
                model.steps_of_others[other] += model.state[other] == "ready" and other != agent
                assert model.steps_of_others[other] <= FAIR, f"context {other} starves"
            if after == AfterStep.PARK_MM:
                model.parked_at.setdefault(agent, cycle)
            else:
                model.parked_at.pop(agent, None)
            if after == AfterStep.FREE:
                del model.state[agent]
            else:
                model.make(agent, "ready" if after == AfterStep.GO_ON else SEEN[after])
            seen[SEEN[after]] += 1
        for other, state in model.state.items():
            late = state == "mm" and cycle - model.parked_at[other] > 2 * PATIENCE + 8 * CONTEXTS
            assert not late, f"context {other} waits for the mm lock beyond its patience"
        if take and has_free:
            bench.drive(take=1)
            model.make(free, "ready")
            model.fresh.add(free)
        await bench.clock()
    assert min(seen.values()) > 20, seen
