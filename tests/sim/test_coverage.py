"""Merged functional coverage: counts add up, a bin that was never hit is a hole with a name, and what cannot be is an error when it is."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from seqfault.coverage import bins_reached, coverage_problems, coverage_summary, export_database, merge
from seqfault.coverage_plan import plan_markdown
from seqfault.coverage_report import check_coverage, coverage_record, coverage_tables
from seqfault.errors import CheckFailed
from seqfault_tb.coverage import BY_NAME, POINTS
from seqfault_tb.coverage.declare import Cross, Left, Point

PLAIN = Point(
    name="plain", sentence="A bin was seen.", bins=("a", "b", "c", "d"), excluded={"c": Left("never"), "d": Left("tests/x.py", never=False)}
)
CROSSED = Cross.make("crossed", "A pair was seen.", ("a", "b"), ("x", "y"), (("a",), ("x",), Left("no")))


def job(coverage: dict[str, dict[str, int]], **conditions: Any) -> dict[str, Any]:
    return {"contexts": 4, "policy": "spec", "coverage": coverage, **conditions}


def everything() -> dict[str, dict[str, int]]:
    """Each bin that counts, once; busy contexts as a job counts them."""
    return {point.name: dict.fromkeys(point.counted, 1) for point in POINTS} | {"busy": {"1": 1, "2": 1, "4": 1}}


def summary(coverage: dict[str, dict[str, int]], *points: Point) -> list[dict[str, Any]]:
    return coverage_summary(merge([job(coverage)]), points)


def test_counts_of_jobs_add_up() -> None:
    merged = merge([job({"plain": {"a": 2, "b": 1}}), job({"plain": {"a": 3}}), {"outcome": "failed"}])
    assert merged["plain"] == {"a": 5, "b": 1}


def test_the_order_of_jobs_does_not_matter() -> None:
    jobs = [job({"kind": {"cow": 1}}), job({"kind": {"cow": 2, "table": 1}}, policy="mm-lock"), job({"busy": {"4": 2, "1": 1}})]
    assert merge(jobs) == merge(reversed(jobs))
    assert coverage_summary(merge(jobs)) == coverage_summary(merge(reversed(jobs)))


def test_what_a_jobs_conditions_tell_is_counted() -> None:
    merged = merge([job({"kind": {"cow": 2}, "busy": {"1": 1, "3": 5, "4": 7}}), job({"kind": {"cow": 1}}, policy="vma-lock")])
    assert merged["kind by policy"] == {"cow x spec": 2, "cow x vma-lock": 1}
    assert merged["policy"] == {"spec": 2, "vma-lock": 1}
    assert merged["busy"] == {"one": 1, "some": 5, "all": 7}


def test_a_hole_has_a_name() -> None:
    (row,) = summary({"plain": {"a": 9}}, PLAIN)
    assert (row["bins"], row["hit"], row["percent"], row["holes"]) == (2, 1, 50.0, ["b"])
    (row,) = summary({"crossed": {"a x y": 1, "b x x": 1}}, CROSSED)
    assert (row["bins"], row["hit"], row["holes"]) == (3, 2, ["b x y"])
    assert summary({"crossed": {"a x y": 1, "b x x": 1, "b x y": 1}}, CROSSED)[0]["holes"] == []


def test_a_count_of_zero_is_no_hit() -> None:
    assert summary({"plain": {"a": 0}}, PLAIN)[0]["holes"] == ["a", "b"]


def test_excluded_bins_have_their_reason_and_do_not_count() -> None:
    (row,) = summary({"plain": {"a": 1, "b": 1, "d": 4}}, PLAIN)
    assert (row["bins"], row["percent"]) == (2, 100.0)
    assert row["excluded"] == [{"bin": "c", "reason": "never", "reached": 0}, {"bin": "d", "reason": "tests/x.py", "reached": 4}]


def test_excluded_but_reached_is_an_error_unless_it_is_only_tested_elsewhere() -> None:
    assert coverage_problems(merge([job({"plain": {"a": 1, "d": 1}})]), [PLAIN]) == []
    (problem,) = coverage_problems(merge([job({"plain": {"c": 2}})]), [PLAIN])
    assert problem == "plain: 'c' is excluded but reached (2): never"
    (problem,) = coverage_problems(merge([job({"crossed": {"a x x": 1}})]), [CROSSED])
    assert "'a x x' is excluded but reached" in problem


def test_a_bin_that_nobody_declared_is_an_error() -> None:
    (problem,) = coverage_problems(merge([job({"plain": {"z": 1}})]), [PLAIN])
    assert problem == "plain: 'z' was reached (1), but is no bin of it"


def test_all_bins_of_all_points_make_100_percent_and_one_less_does_not() -> None:
    coverage = everything()
    check_coverage(coverage_record(merge([job(coverage)])), goal=100)
    del coverage["abort by kind"]["R14 CHANGED_C3 x cow"]
    with pytest.raises(CheckFailed, match="1 holes, the first is abort by kind: R14 CHANGED_C3 x cow"):
        check_coverage(coverage_record(merge([job(coverage)])), goal=100)
    check_coverage(coverage_record(merge([job(coverage)])), goal=99)
    coverage["command meets fault"]["PTE_CLEAR x R15"] = 1
    with pytest.raises(CheckFailed, match="'PTE_CLEAR x R15' is excluded but reached"):
        check_coverage(coverage_record(merge([job(coverage)])), goal=0)


def test_no_jobs_are_no_coverage() -> None:
    hit, bins = bins_reached(coverage_summary(merge([])))
    assert hit == 0
    assert bins == sum(len(point.counted) for point in POINTS)


def test_the_database_of_cocotb_coverage_says_the_same(tmp_path: Path) -> None:
    coverage = everything()
    del coverage["kind"]["cow"]
    merged = merge([job(coverage)])
    for name in ("coverage.xml", "coverage.yml"):
        export_database(merged, tmp_path / name)
    kind = ElementTree.parse(tmp_path / "coverage.xml").getroot().find(".//kind")
    assert kind is not None
    hits = {one.get("bin"): one.get("hits") for one in kind}
    assert hits == {name: "0" if name == "cow" else "1" for name in BY_NAME["kind"].counted}
    exported = yaml.safe_load((tmp_path / "coverage.yml").read_text())
    assert exported["seqfault.kind"]["coverage"] == len(BY_NAME["kind"].counted) - 1
    assert exported["seqfault.abort_by_kind.cross"]["cover_percentage"] == 100.0


def test_record_and_tables_name_holes_and_problems() -> None:
    coverage = everything()
    del coverage["kind"]["cow"]
    coverage["kind"]["nonsense"] = 1
    record = coverage_record(merge([job(coverage)]))
    assert json.loads(json.dumps(record)) == record
    assert record["code"] is None
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(coverage_tables(record))
    text = console.export_text()
    assert "kind: cow" in text
    assert "'nonsense' was reached (1)" in text


def test_the_document_has_the_test_plan_as_it_is() -> None:
    document = (Path(__file__).parents[2] / "docs" / "coverage.md").read_text()
    assert plan_markdown() in document, "write it anew: python -m seqfault.coverage_plan"
