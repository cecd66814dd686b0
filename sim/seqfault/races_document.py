"""The table of docs/races.md: what each race is here, and what its sweeps met.

`python -m seqfault.races_document docs/races.md` writes it; with races behind that (`R6 R7`), the last column of the others stays.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from seqfault_tb.races.catalogue import RACES
from seqfault_tb.races.scenario import ORDERS, Race

from .document_parts import split_document
from .errors import CheckFailed, SeqfaultError
from .output import OutputFile
from .regress_plan import case_name
from .regress_races import LATENCIES, races_cases, run_race_case

__all__ = ["BEGIN", "END", "last_column", "main", "met_text", "table"]

BEGIN, END = "<!-- races: begin -->", "<!-- races: end -->"
HEAD = ("race", "here", "writer's operation", "what must hold", "seen without", "met, in all runs of the sweeps")
POLICY = "spec"
SAFEGUARDS = {"SEQ.BEGIN": "section", "IOTINVAL.VMA": "IOTINVAL.VMA", "PR": "fence's PR", "wait": "fence"}
OUTCOMES = ("speculative", "retried", "classic", "software", "refused")


def met_text(results: Sequence[Mapping[str, Any]]) -> str:
    """Runs, orders in time, outcomes and reasons of one race, added up."""
    met: Counter[str] = Counter()
    for result in results:
        met.update(result["met"])
    runs = sum(result["offsets"] for result in results)
    reasons = sorted(name for name in met if name not in ORDERS and name not in OUTCOMES)
    parts = [f"{runs} runs, {met['at once']} at once", ", ".join(name for name in OUTCOMES if met[name]), ", ".join(f"`{name}`" for name in reasons)]
    return "; ".join(part for part in parts if part)


def table(met: Mapping[str, str]) -> str:
    """The table in Markdown; `met`: the text of its last column, by race."""
    rows = [HEAD, tuple(":--" for _ in HEAD), *(_row(race, met[race.number]) for race in RACES.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(race: Race, met: str) -> tuple[str, ...]:
    without = [SAFEGUARDS[race.safeguard[0]]] if race.safeguard else []
    return (
        f"{race.number} {race.title}", race.here, race.operation, race.holds, ", ".join([*without, f"`{race.plant.lower()}`"]), met,
    )  # fmt: skip


def last_column(part: str) -> dict[str, str]:
    """The last column of a table, by race."""
    rows = [line.strip("| ").split(" | ") for line in part.strip().splitlines()[2:]]
    return {row[0].split()[0]: row[-1] for row in rows}


def main(path: Path, names: Sequence[str] = (), jobs: int = 2) -> None:
    """Sweep these races (none: all) under policy spec at both latencies, every cycle, and write the table. Raises `CheckFailed` if one is lost."""
    before, part, after = split_document(path.read_text(encoding="utf-8"), path, BEGIN, END)
    cases = races_cases(names, policies=(POLICY,), latencies=LATENCIES)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        results = list(pool.map(run_race_case, cases))
    for case, result in zip(cases, results, strict=True):
        if result["outcome"] != "ok":
            raise CheckFailed(f"{case_name(case)}: {result['outcome']}", details=result["message"])
    met = dict.fromkeys(RACES, "") | last_column(part)
    for name in names or RACES:
        met[name] = met_text([result for case, result in zip(cases, results, strict=True) if case["race"] == name])
    with OutputFile(path) as file:
        file.write_text(f"{before}\n{table(met)}\n{after}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except SeqfaultError as error:
        print(f"{error}\n{error.details}".rstrip(), file=sys.stderr)
        sys.exit(error.exit_status)
