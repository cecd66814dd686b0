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
    """Random walks, invalidations (single pages, ranges, spaces, all), changes of entries near each other, A/D updates, and tables made."""
    bench = StateBench(dut, "tracking")
    rng = bench.rng
    await bench.start("watch", "invalidate", "changed", "committed", "surrounded", "tabled", "updated")
    watched: dict[int, tuple[int, int]] = {}
    stale, raced, table_raced = set(), set(), set()
    hits = {"stale": 0, "missed": 0, "changed": 0, "committed": 0, "surrounded": 0, "updated": 0, "table": 0, "table made by the watcher": 0}
    for _ in range(3000):
        await bench.settle()
        for name, bits in (("stale", stale), ("raced", raced), ("table_raced", table_raced)):
            mask = sum(1 << agent for agent in watched)
            assert bench.read(name) & mask == sum(1 << agent for agent in bits), name
        page = lambda: rng.choice((0, HIGH)) | rng.randrange(32)  # noqa: E731
        watch, invalidate, changed = rng.random() < 0.2, rng.random() < 0.1, rng.random() < 0.3
        agent, (space, vpn) = rng.randrange(CONTEXTS), rng.choice([*watched.values(), (rng.randrange(SPACES), page())])
        record = {
            "any_space": rng.random() < 0.1, "space": rng.randrange(SPACES), "any_page": rng.random() < 0.1, "vpn": page(),
            "mask": rng.choice((0, 0, 1, 3, 7, 31, HIGH | (HIGH - 1))),
        }  # fmt: skip
        changed_space, changed_vpn = rng.randrange(SPACES), page()
        committed, surrounded = (not watch and rng.random() < 0.1 for _ in range(2))
        tabled, updated = rng.random() < 0.05, rng.random() < 0.1
        updated_space, updated_vpn = rng.choice([*watched.values(), (rng.randrange(SPACES), page())])
        bench.drive(
            watch=watch, agent=agent, space=space, vpn=vpn, invalidate=invalidate, record=pack(InvalidateRecord, record),
            changed=changed, committed=committed, changed_space=changed_space, changed_vpn=changed_vpn, surrounded=surrounded, tabled=tabled,
            updated=updated, updated_space=updated_space, updated_vpn=updated_vpn,
        )  # fmt: skip
        for other, (its_space, its_vpn) in watched.items():
            if invalidate:
                hit = (record["any_space"] or record["space"] == its_space) and (
                    record["any_page"] or its_vpn & ~record["mask"] == record["vpn"] & ~record["mask"]
                )
                stale |= {other} if hit else set()
                hits["stale" if hit else "missed"] += 1
            reasons = {
                "changed": changed and (changed_space, changed_vpn // 8) == (its_space, its_vpn // 8),  # the command unit announces lines
                "committed": committed and (space, vpn) == (its_space, its_vpn),
                "surrounded": surrounded and (space, vpn // 16) == (its_space, its_vpn // 16),
                "updated": updated and (updated_space, updated_vpn) == (its_space, its_vpn),
            }
            for reason, hit in reasons.items():
                raced |= {other} if hit else set()
                hits[reason] += hit
            if tabled and space == its_space:
                table_raced.add(other)
                hits["table"] += 1
        if watch:
            watched[agent] = (space, vpn)
            stale.discard(agent)
            raced.discard(agent)
            table_raced.discard(agent)
            hits["table made by the watcher"] += tabled  # it walks again, and its own table is no race
        await bench.clock()
    assert min(hits.values()) > 15, hits
