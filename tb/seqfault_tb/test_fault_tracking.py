"""FaultTracking: what happened to each context's page since its walk began. [software contract, IOTINVAL.VMA; protocol.md R12, R16]"""

import cocotb

from seqfault_rtl.messages import InvalidateRecord

from .fields import pack
from .state_bench import StateBench
from .state_blocks import STATE_CONFIG

CONTEXTS, SPACES = STATE_CONFIG.contexts, STATE_CONFIG.spaces
HIGH = 1 << 35


@cocotb.test()
async def random_changes(dut) -> None:
    """Random walks, invalidations (single pages, ranges, spaces, all) and changes of entries near each other."""
    bench = StateBench(dut, "tracking")
    rng = bench.rng
    await bench.start("watch", "invalidate", "changed", "committed")
    watched: dict[int, tuple[int, int]] = {}
    stale, raced = set(), set()
    hits = {"stale": 0, "raced": 0, "missed": 0}
    for _ in range(3000):
        await bench.settle()
        for name, bits in (("stale", stale), ("raced", raced)):
            mask = sum(1 << agent for agent in watched)
            assert bench.read(name) & mask == sum(1 << agent for agent in bits), name
        page = lambda: rng.choice((0, HIGH)) | rng.randrange(32)  # noqa: E731
        watch, invalidate, changed = rng.random() < 0.2, rng.random() < 0.1, rng.random() < 0.3
        agent, space, vpn = rng.randrange(CONTEXTS), rng.randrange(SPACES), page()
        record = {
            "any_space": rng.random() < 0.1, "space": rng.randrange(SPACES), "any_page": rng.random() < 0.1, "vpn": page(),
            "mask": rng.choice((0, 0, 1, 3, 7, 31, HIGH | (HIGH - 1))),
        }  # fmt: skip
        changed_space, changed_vpn = rng.randrange(SPACES), page()
        committed = not watch and rng.random() < 0.2
        bench.drive(
            watch=watch, agent=agent, space=space, vpn=vpn, invalidate=invalidate, record=pack(InvalidateRecord, record),
            changed=changed, committed=committed, changed_space=changed_space, changed_vpn=changed_vpn,
        )  # fmt: skip
        for other, (its_space, its_vpn) in watched.items():
            if invalidate:
                hit = (record["any_space"] or record["space"] == its_space) and (
                    record["any_page"] or its_vpn & ~record["mask"] == record["vpn"] & ~record["mask"]
                )
                stale |= {other} if hit else set()
                hits["stale" if hit else "missed"] += 1
            in_line = changed and (changed_space, changed_vpn // 8) == (its_space, its_vpn // 8)
            if in_line or (committed and (space, vpn) == (its_space, its_vpn)):  # the command unit announces lines, a commit is of one page
                raced.add(other)
                hits["raced"] += 1
        if watch:
            watched[agent] = (space, vpn)
            stale.discard(agent)
            raced.discard(agent)
        await bench.clock()
    assert min(hits.values()) > 50
