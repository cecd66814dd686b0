"""JUnit XML of a regression: what CI systems read from it is what happened."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from junitparser import Error, Failure, JUnitXml

from seqfault.regress_junit import junit_xml

from .regress_fixture import HOSTILE, failing, result

CHILDREN = {
    "testsuites": {"testsuite"}, "testsuite": {"properties", "testcase"}, "testcase": {"properties", "failure", "error", "system-out"},
    "properties": {"property"}, "property": set(), "failure": set(), "error": set(), "system-out": set(),
}  # fmt: skip
"""Of the elements that Jenkins' schema (junit-10.xsd) has, those that are used here."""
REQUIRED = {"testsuite": {"name", "tests"}, "testcase": {"name", "classname", "time"}, "failure": {"message", "type"}, "error": {"message", "type"}}


def programs() -> list[dict[str, Any]]:
    """Of all outcomes."""
    return [
        result(1), result(2), failing(1, profile="races"), failing(2, outcome="hang", message="nothing happened", repeat=None, files=None),
        failing(3, outcome="failed", message="KeyError: 'x'\nTraceback"),
    ]  # fmt: skip


def root(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def test_a_test_case_for_each_program_by_profile() -> None:
    report = JUnitXml.fromstring(junit_xml(programs(), command="seqfault regress", wall_s=3.21).encode())
    assert (report.tests, report.failures, report.errors, report.time) == (5, 2, 1, 3.21)
    suites = {suite.name: suite for suite in report}
    assert {name: (suite.tests, suite.failures, suite.errors) for name, suite in suites.items()} == {
        "seqfault.regress.mixed": (4, 1, 1), "seqfault.regress.races": (1, 1, 0),
    }  # fmt: skip
    cases = list(suites["seqfault.regress.mixed"])
    assert [case.name for case in cases] == [f"mixed seed {seed}, small, spec, L=20" for seed in (1, 2)] + [
        "mixed seed 2, small, spec, L=20 (2)", "mixed seed 3, small, spec, L=20",
    ]  # fmt: skip
    assert all(case.classname == "seqfault.regress.mixed" and case.time == 0.5 for case in cases)
    assert [type(one) for case in cases for one in case.result] == [Failure, Error]


def test_a_failure_says_what_and_how_to_repeat_it() -> None:
    (case,) = root(junit_xml([failing(7)])).iter("testcase")
    failure = case.find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("cycle 7: C1 passed although", "difference")
    assert failure.text is not None
    assert failure.text.endswith("repeat it, with waves:\nseqfault regress --seeds 7:7 --waves failure.vcd")
    assert HOSTILE.replace("\x1b", "\ufffd") in failure.text
    assert case.findtext("system-out") == "[[ATTACHMENT|left/mixed seed 7/failure.vcd]]\n[[ATTACHMENT|left/mixed seed 7/program.json]]"
    properties = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert properties["seed"] == "7"
    assert properties["repeat"] == "seqfault regress --seeds 7:7 --waves failure.vcd"
    assert properties["faults"] == str(failing(7)["faults"])


def test_it_has_only_what_the_schema_has() -> None:
    for element in root(junit_xml(programs(), command=HOSTILE)).iter():
        assert {child.tag for child in element} <= CHILDREN[element.tag]
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib)


@pytest.mark.parametrize("text", ["\x00", "\x1b[0m", "\ud800", "\ufffe", "]]>", "\u2028 é 日本 \U0001f600"])
def test_any_message_is_well_formed(text: str) -> None:
    written = junit_xml([failing(1, message=f"{text}\n{text}", profile=text)], command=text)
    (failure,) = root(written).iter("failure")
    assert failure.text is not None
    kept = "\ufffd" not in failure.text
    assert kept == (text[0] not in "\x00\x1b\ud800\ufffe")
    assert written.encode().startswith(b"<?xml version")
    if kept:
        assert failure.text.startswith(f"{text}\n{text}")


def test_nothing_was_run() -> None:
    assert root(junit_xml([])).attrib["tests"] == "0"
