"""Functional coverage of any number of jobs: counts added up, percentages, holes by name.

Bins, crosses and percentages are those of cocotb-coverage, which the counts of all jobs are fed to here, in the parent process.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cocotb_coverage.coverage import CoverageDB, CoverCross, CoverPoint, coverage_db

from seqfault_tb.coverage.declare import Cross, Point
from seqfault_tb.coverage.names import cross
from seqfault_tb.coverage.points import POINTS

from .coverage_rtl import RtlCounts

__all__ = ["MergedCoverage", "bins_reached", "coverage_problems", "coverage_summary", "export_database", "merge"]

Bins = dict[str, int]
ROOT = "seqfault"


class MergedCoverage(dict[str, Bins]):
    """{point: {bin: count}} of all jobs.

    Attributes
    ----------
    code : lines and toggles of those jobs that counted them; None: none did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.code: RtlCounts | None = None

    def add(self, point: str, name: str, count: int) -> None:
        """Count a bin."""
        bins = self.setdefault(point, {})
        bins[name] = bins.get(name, 0) + count

    def take(self, result: Mapping[str, Any]) -> None:
        """Add what a job has reached, if it says so. Policy and number of contexts, which it tells beside, count too."""
        for point, bins in (result.get("coverage") or {}).items():
            for name, count in bins.items():
                if point == "busy":
                    self.add(point, _busy(int(name), result["contexts"]), count)
                else:
                    self.add(point, name, count)
                if point == "kind":
                    self.add("policy", str(result["policy"]), count)
                    self.add("kind by policy", cross(name, str(result["policy"])), count)
        if code := result.get("code"):
            self.code = self.code or RtlCounts()
            self.code.add(RtlCounts.from_json(code))


def merge(results: Iterable[Mapping[str, Any]]) -> MergedCoverage:
    """Results of jobs, added up."""
    merged = MergedCoverage()
    for result in results:
        merged.take(result)
    return merged


def _busy(contexts: int, there_are: int) -> str:
    return "all" if contexts >= there_are else "one" if contexts == 1 else "some"


def coverage_summary(merged: MergedCoverage, points: Iterable[Point] = POINTS) -> list[dict[str, Any]]:
    """For each cover point: name, sentence, bins (that count), hit, excluded [{bin, reason, reached}], percent, holes (names of bins not hit)."""
    declared = tuple(points)
    database = _database(merged, declared)
    rows = []
    for point in declared:
        item, seen = database[_path(point)], merged.get(point.name, {})
        hits = {_bin_name(name): count for name, count in item.detailed_coverage.items()}
        rows.append({
            "name": point.name, "sentence": point.sentence, "bins": item.size, "hit": item.coverage,
            "excluded": [{"bin": name, "reason": left.reason, "reached": seen.get(name, 0)} for name, left in point.excluded.items()],
            "percent": round(item.cover_percentage, 2), "holes": [name for name in point.counted if not hits[name]],
        })  # fmt: skip
    return rows


def coverage_problems(merged: MergedCoverage, points: Iterable[Point] = POINTS) -> list[str]:
    """What must not be: a bin that is excluded because it cannot happen was reached, or one that nobody declared."""
    problems = []
    for point in points:
        for name, count in merged.get(point.name, {}).items():
            left = point.excluded.get(name)
            if left is not None and left.never:
                problems.append(f"{point.name}: {name!r} is excluded but reached ({count}): {left.reason}")
            elif name not in point.bins:
                problems.append(f"{point.name}: {name!r} was reached ({count}), but is no bin of it")
    return problems


def bins_reached(rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Bins hit and bins that count, of all points of a summary."""
    totals: Counter[str] = Counter()
    for row in rows:
        totals.update(bins=row["bins"], hit=row["hit"])
    return totals["hit"], totals["bins"]


def export_database(merged: MergedCoverage, path: Path) -> None:
    """Write cocotb-coverage's database, for its own tools: XML, or YAML by the name's suffix (.yml, .yaml)."""
    database = _database(merged, POINTS)
    (database.export_to_yaml if path.suffix in (".yml", ".yaml") else database.export_to_xml)(filename=str(path))


def _path(point: Point) -> str:
    """A cross has its axes beside it."""
    name = f"{ROOT}.{point.name.replace(' ', '_')}"
    return f"{name}.cross" if isinstance(point, Cross) else name


def _bin_name(name: str | tuple[str, ...]) -> str:
    return name if isinstance(name, str) else cross(*name)


def _database(merged: MergedCoverage, points: tuple[Point, ...]) -> CoverageDB:
    """cocotb-coverage's database with these points, fed with every bin that was reached; it is one for the process, so what was in it is gone."""
    coverage_db.clear()
    for point in points:
        sample = _sampler(point)
        for name, count in merged.get(point.name, {}).items():
            if name in point.bins and name not in point.excluded and count:
                sample(tuple(name.split(" x ")) if isinstance(point, Cross) else name)
    return coverage_db


def _sampler(point: Point) -> Any:
    """A function to be called with a bin."""

    def seen(name: Any) -> None:
        """cocotb-coverage's decorators do the work."""

    if not isinstance(point, Cross):
        return CoverPoint(_path(point), xf=lambda name: name, bins=list(point.counted))(seen)
    group = _path(point).removesuffix(".cross")
    names = [f"{group}.left", f"{group}.right"]
    ignored = [tuple(name.split(" x ")) for name in point.excluded]
    left = CoverPoint(names[0], xf=lambda pair: pair[0], bins=list(point.left))
    right = CoverPoint(names[1], xf=lambda pair: pair[1], bins=list(point.right))
    return left(right(CoverCross(_path(point), items=names, ign_bins=ignored)(seen)))  # the axes are sampled before the cross looks at them
