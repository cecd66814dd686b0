"""MissTable against lists in Python: who may join which walk, and who is answered after whom."""

import cocotb

from seqfault_rtl.miss_records import PortRequest

from .fields import pack, unpack
from .miss_blocks import MISS_CONFIG
from .state_bench import StateBench

MISSES, WALKS = MISS_CONFIG.ports * MISS_CONFIG.port_misses, MISS_CONFIG.walks
STROBES = ("enter", "start", "join", "invalidate", "close", "leave", "leave_walk")


class Model:
    """Misses by number, walks by number with their misses in order, and the end that is being answered."""

    def __init__(self) -> None:
        self.misses: dict[int, dict] = {}
        self.walks: dict[int, dict] = {}
        self.alone: list[int] = []
        self.answering: int | None = None
        self.joined = 0

    def find(self, page: tuple[int, int]) -> int | None:
        """The open walk for a page."""
        return next((number for number, walk in self.walks.items() if walk["open"] and walk["page"] == page), None)


def choose(bench: StateBench, model: Model) -> tuple[dict, tuple[int, int], dict]:
    """Drive a request and an end; returns the strobes chosen before the answers are seen, the request's page and the request."""
    rng = bench.rng
    page = (rng.randrange(3), rng.choice((0, 1, 1 << 44, (1 << 45) - 1)))
    request = {"va": page[1] << 12 | rng.getrandbits(12), "space": page[0], "tag": rng.randrange(512)}
    bench.drive(request=pack(PortRequest, {"request": request, "port": rng.randrange(2)}), valid=len(model.misses) < MISSES)
    strobes = dict.fromkeys(STROBES, 0)
    strobes["invalidate"] = int(rng.random() < 0.05)
    under_way = [number for number, walk in model.walks.items() if not walk["ended"]]
    if model.answering is None and under_way and rng.random() < 0.2:
        bench.drive(ended=rng.choice(under_way))
        strobes["close"] = 1
    return strobes, page, request


def enter(bench: StateBench, model: Model, strobes: dict, page: tuple[int, int], request: dict) -> None:
    """What MissSort would do with the request."""
    found = model.find(page)
    assert bench.read("found") == (found is not None), f"a walk for {page} is open: {found}"
    assert bench.read("has_walk") == (len(model.walks) < WALKS)
    if len(model.misses) == MISSES or bench.rng.random() < 0.3:
        return
    number, decided = bench.read("miss"), bench.rng.random() < 0.2
    assert number not in model.misses, f"number {number} is in use"
    if decided:
        model.alone.append(number)
    elif found is not None:
        strobes["join"] = 1
        model.walks[found]["misses"].append(number)
        model.joined += 1
    elif len(model.walks) < WALKS:
        walk = bench.read("walk")
        assert walk not in model.walks, f"walk {walk} is in use"
        strobes["start"] = 1
        model.walks[walk] = {"page": page, "misses": [number], "open": not strobes["invalidate"], "ended": False}
    else:
        return
    strobes["enter"] = 1
    model.misses[number] = request


def leave(bench: StateBench, model: Model, strobes: dict, current: int | None, walk: int | None) -> None:
    """The miss that is answered in this cycle."""
    if current is None:
        return
    asked = unpack(PortRequest, bench.read("asked"))["request"]
    assert {name: asked[name] for name in model.misses[current]} == model.misses[current]
    strobes["leave"] = 1
    del model.misses[current]
    if walk is None:
        return
    waiting = model.walks[walk]["misses"]
    waiting.pop(0)
    assert bench.read("is_last") == (not waiting), f"{waiting} still wait"
    if waiting:
        assert bench.read("following") == waiting[0]
    else:
        strobes["leave_walk"] = 1
        del model.walks[walk]
        model.answering = None


@cocotb.test()
async def random_misses(dut) -> None:
    """Random requests, ends and invalidations, one answer a cycle at the most."""
    bench, model = StateBench(dut, "table"), Model()
    await bench.start(*STROBES, "request", "ended", "current", "current_walk")
    for _ in range(20000):
        strobes, page, request = choose(bench, model)
        walk, current = model.answering, None
        if walk is not None:
            current = model.walks[walk]["misses"][0]
        elif model.alone and bench.rng.random() < 0.3:
            current = model.alone.pop(0)
        if bench.rng.random() < 0.3 and walk is not None:
            current = None
        bench.drive(current=current or 0, current_walk=walk or 0)
        await bench.settle()
        closing = None
        if strobes["close"]:
            closing = bench.read("ended")
            assert bench.read("head") == model.walks[closing]["misses"][0]
        enter(bench, model, strobes, page, request)
        leave(bench, model, strobes, current, walk)
        bench.drive(**strobes)
        if strobes["invalidate"]:
            for item in model.walks.values():
                item["open"] = False
        if closing is not None:
            model.walks[closing] |= {"open": False, "ended": True}
            model.answering = closing
        await bench.clock()
    assert model.joined > 500, f"only {model.joined} requests joined a walk"
