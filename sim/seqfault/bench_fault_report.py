"""Tables of what was measured on the whole engine, with what the project wants to reach and what others were measured at.

The others: Linux 6.18 on a CPU, speculative page faults (SPF) as their authors measured them, and MFOE, a hardware fault handler simulated in gem5.
"""

from collections.abc import Iterable, Sequence

from seqfault_tb.bench_names import MUTATORS, PATTERNS

from .bench_sheet import NOTHING, Goal, Record, Sheet, by_latency

__all__ = ["fault_sheets"]

WANTED_RATES = {20: 100.0, 50: 80.0}
"""Faults per 1000 cycles by latency of memory."""
JUDGED_CONTEXTS, JUDGED_KIND = 16, "anon-write"
SLOWDOWNS = {"mmap-munmap": (1.05, "1.2-2.2"), "mprotect-unrelated": (1.05, "1.2-2.2"), "mprotect-same": (1.5, "3.75")}
"""Slow-down at the most, and Linux'."""
FULL_RATE = 0.95
"""A mutator that makes fewer of its changes than this part was not measured at its rate."""
RATIO_DIGITS = 2
"""A ratio is judged as it is shown."""
UNRELATED = ("mmap-munmap", "mprotect-unrelated")


def fault_sheets(records: Sequence[Record]) -> list[Sheet]:
    """The tables, some of them maybe without rows."""
    of = {name: [record for record in records if record["bench"] == name] for name in ("fault", "mutators", "policies")}
    latencies = [record for record in of["fault"] if record["metric"] == "latency_cycles"]
    rates = [
        {**record, "params": {"tables": PATTERNS[0], **record["params"]}} for record in of["fault"] if record["metric"] == "faults_per_1000_cycles"
    ]
    return [_latency_sheet(latencies), _rate_sheet(rates), _mutator_sheet(of["mutators"]), _policy_sheet(of["policies"])]


def _latency_sheet(records: Sequence[Record]) -> Sheet:
    medians = {
        (params["kind"], params["cache"], params["latency"]): record["value"]
        for record in records
        if (params := record["params"])["percentile"] == 50
    }

    def goal_of(params: Record) -> Goal:
        kind, cache, percentile = params["kind"], params["cache"], params["percentile"]
        if kind != JUDGED_KIND or percentile == 99:
            return Goal()
        if percentile == 50:
            factor, rest = (2, 20) if cache == "warm" else (7, 40)
            return Goal(text=f"<= {factor}L+{rest}", bound=lambda latency: factor * latency + rest, peers="MFOE 60-120")
        if cache == "warm":
            return Goal(text="<= 4 x p50", bound=lambda latency: 4 * medians[kind, cache, latency], peers="Linux 8 x p50")
        return Goal()

    return by_latency(
        records, ("kind", "cache", "percentile"), goal_of, "d", title="Latency of one fault alone, Sv39, in cycles",
        notes="From the acceptance of the request to the answer at the port. warm: VMA cache and walk cache hold all but the leaf entry; "
        "cold: everything was invalidated, the VMA tree has height 2, the tables three levels. Linux: 1.6 us p50, 13.3 us p99.9.",
    )  # fmt: skip


def _rate_sheet(records: Sequence[Record]) -> Sheet:
    def goal_of(params: Record) -> Goal:
        if (params["kind"], params["tables"]) != (JUDGED_KIND, PATTERNS[0]) or params["contexts"] < JUDGED_CONTEXTS:
            return Goal()
        text = " / ".join(f"{rate:.0f}" for rate in WANTED_RATES.values())
        return Goal(text=f">= {text}", bound=WANTED_RATES.__getitem__, at_least=True, peers="Linux 5.5", latencies=tuple(WANTED_RATES))

    return by_latency(
        records, ("kind", "tables", "contexts"), goal_of, ".1f", title="Faults per 1000 cycles, all ports always have a fault to make",
        notes="disjoint: faults under way are in different leaf tables; shared: in one, but not in one 64-byte line; neighbours: in one, in order. "
        f"Reach: at L={' and L='.join(map(str, WANTED_RATES))}. Linux: 0.55 M/s on a core, at 100 MHz.",
    )  # fmt: skip


def _mutator_sheet(records: Sequence[Record]) -> Sheet:
    """A row for each mutator and latency."""
    found = {(record["params"]["mutator"], record["params"]["latency"], record["metric"]): record["value"] for record in records}
    rows = []
    for (mutator, latency, metric), value in found.items():
        if metric == "slowdown":
            most, peers = SLOWDOWNS[mutator]
            changes, wanted = found[mutator, latency, "changes_per_second"], MUTATORS[mutator]
            good = value <= most and changes >= FULL_RATE * wanted
            rows.append(
                (mutator, str(latency), f"{value:.3f}", f"{changes / 1000:.0f}", f"<= {most} at {wanted // 1000}", peers, _verdict(good))
            )  # fmt: skip
    return Sheet(
        title="Slow-down of anonymous write faults under a mutator", left=1, rows=rows,
        columns=("mutator", "L", "slow-down", "1000 changes/s", "reach", "Linux", "verdict"),
        notes="Changes a second at 100 MHz; an mmap with its munmap is one. One that stays 5 % below its rate misses the reach too.",
    )  # fmt: skip


def _policy_sheet(records: Sequence[Record]) -> Sheet:
    rows = []
    for record in records:
        params, value = record["params"], record["value"]
        text, good, peers = NOTHING, None, NOTHING
        if params["mutator"] in UNRELATED:
            least, peers = {"mm-lock": (4.0, "SPF 3.7"), "vma-lock": (1.0, NOTHING)}[params["over"]]
            text, good = f">= {least:.1f}", round(value, RATIO_DIGITS) >= least
        verdict = NOTHING if good is None else _verdict(good)
        rows.append((params["over"], params["mutator"], str(params["requesters"]), f"{value:.2f}", text, peers, verdict))
    return Sheet(
        title="Rate of spec over that of another policy", left=2, rows=_in_order(rows),
        columns=("over", "mutator", "requesters", "ratio", "reach", "peers", "verdict"),
        notes="The mutator is always busy. L=50, unless another latency is asked for. Same RTL, one run: the policy is a register.",
    )  # fmt: skip


def _in_order(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """By what `spec` is compared with."""
    return sorted(rows, key=lambda row: row[0])


def _verdict(good: bool) -> str:
    return "reached" if good else "MISSED"
