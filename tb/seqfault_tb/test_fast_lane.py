"""FastLane: nothing is lost, and turns are fair whatever the rhythm in which its output is ready."""

import cocotb

from seqfault_rtl.messages import WalkRequest

from .fields import pack, unpack
from .state_bench import StateBench

INPUTS = ("fast", "slow", "urgent")


@cocotb.test()
async def random_streams(dut) -> None:
    """Items come out in order, those of `urgent` first; between the others turns change while both wait."""
    bench = StateBench(dut, "lane")
    await bench.start(*(f"{name}__valid" for name in INPUTS), "output__ready")
    rng, sent, waiting = bench.rng, dict.fromkeys(INPUTS, 0), dict.fromkeys(INPUTS, False)
    for rhythm in (1, 2, 3, 4, 0):
        history = []
        for cycle in range(1500):
            for name in INPUTS:
                waiting[name] = waiting[name] or rng.random() < (0.1 if name == "urgent" else 1.0 if rhythm else 0.5)
                item = {"vpn": sent[name], "tag": INPUTS.index(name)}
                bench.drive(**{f"{name}__valid": waiting[name], f"{name}__payload": pack(WalkRequest, item)})
            ready = cycle % rhythm == 0 if rhythm else rng.random() < 0.5
            bench.drive(output__ready=ready)
            await bench.settle()
            taken = step(bench, waiting, sent, ready)
            if taken in ("fast", "slow"):
                history.append(taken)
            await bench.clock()
        counts = {name: history.count(name) for name in ("fast", "slow")}
        assert not rhythm or abs(counts["fast"] - counts["slow"]) <= 1, f"items when ready every {rhythm} cycles: {counts}"
        assert min(counts.values()) > 0.3 * len(history), f"items: {counts}"


def step(bench: StateBench, waiting: dict[str, bool], sent: dict[str, int], ready: bool) -> str | None:
    """Checks the output of this cycle; returns the input whose item was taken."""
    accepted = [name for name in INPUTS if waiting[name] and bench.read(f"{name}__ready")]
    if not bench.read("output__valid") or not ready:
        assert not accepted, f"{accepted} accepted without a transfer"
        return None
    output = bench.read("output__payload")
    name = INPUTS[output >> pack_width() & 3]
    item = unpack(WalkRequest, output & (1 << pack_width()) - 1)
    assert accepted == [name], f"{accepted} accepted, but the item is from {name}"
    assert name == "urgent" or not waiting["urgent"], f"{name} goes before urgent"
    assert (item["vpn"], item["tag"]) == (sent[name], INPUTS.index(name)), f"{item} instead of item {sent[name]} of {name}"
    sent[name], waiting[name] = sent[name] + 1, False
    return name


def pack_width() -> int:
    """Bits of an item."""
    return WalkRequest.as_shape().size
