"""A regression's outcomes as JUnit XML, as Jenkins and GitLab read it: a suite for each profile, a test case for each program."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import EnvironmentLacks
from .regress_pool import program_name

try:
    from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped, TestCase, TestSuite
except ModuleNotFoundError:
    raise EnvironmentLacks("the Python package junitparser is missing (--junit): pip install 'seqfault[regress]'") from None

__all__ = ["junit_xml"]

NAME = "seqfault regress"
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
CLASS = "seqfault.regress"
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot have, not even escaped: a message may quote a terminal's."""
FAILURES = {"difference": "the engine does not do what the golden model does", "hang": "nothing happens any more"}
"""What is a failure of the engine, in a line; other outcomes but "ok" are errors of the run."""
ATTACHMENT = "[[ATTACHMENT|{}]]"
"""A file to keep with the test case, in its output, as both systems take it."""
KEPT = ("seed", "profile", "preset", "policy", "latency", "outcome", "cycles", "steps", "faults", "interleavings", "repeat")
"""Values of a result that are properties of its test case, where it has them."""


def junit_xml(
    results: Sequence[Mapping[str, Any]], *, command: str = "", wall_s: float | None = None, left_out: Sequence[tuple[str, str]] = (),
) -> str:  # fmt: skip
    """The file's text.

    Parameters
    ----------
    results : of the programs, as the jobs leave them; also `repeat`, the command that repeats a program, and `files`, what a failure left. command :
        that made the run. wall_s : seconds that it took; None: the sum of the programs' own. left_out : profiles and names of programs that were not
        run: skipped test cases.
    """
    report = JUnitXml(NAME)
    profiles: dict[str, list[Mapping[str, Any]]] = {}
    for result in sorted(results, key=lambda result: result.get("case", 0)):
        profiles.setdefault(str(result["profile"]), []).append(result)
    for profile, _ in left_out:
        profiles.setdefault(profile, [])
    for profile, programs in sorted(profiles.items()):
        suite = TestSuite(_text(f"{CLASS}.{profile}"))
        if command:
            suite.add_property("command", _text(command))
        suite.add_testcases([*_cases(profile, programs), *(_skipped(profile, name) for of, name in left_out if of == profile)])
        suite.update_statistics()
        report.add_testsuite(suite)
    report.update_statistics()
    if wall_s is not None:
        report.time = round(wall_s, 3)
    text = report.tostring()
    return f"{DECLARATION}\n{text.decode() if isinstance(text, bytes) else text}\n"


def _cases(profile: str, results: Iterable[Mapping[str, Any]]) -> Iterable[TestCase]:
    """Names are unique: CI systems follow a test case from run to run by its name."""
    seen: Counter[str] = Counter()
    for result in results:
        name = program_name(result)
        seen[name] += 1
        yield _case(f"{CLASS}.{profile}", name if seen[name] == 1 else f"{name} ({seen[name]})", result)


def _skipped(profile: str, name: str) -> TestCase:
    case = TestCase(_text(name), _text(f"{CLASS}.{profile}"), 0)
    case.result = [Skipped("the run was broken off")]
    return case


def _case(class_name: str, name: str, result: Mapping[str, Any]) -> TestCase:
    case = TestCase(_text(name), _text(class_name), round(result["seconds"], 3))
    properties = Properties()
    for key in KEPT:
        if result.get(key) is not None:
            properties.add_property(Property(key, _text(str(result[key]))))
    case.append(properties)
    outcome = result["outcome"]
    if outcome != "ok":
        message = _text(result.get("message") or FAILURES.get(outcome, outcome))
        repeat = _text(result.get("repeat") or "")
        kind = Failure if outcome in FAILURES else Error
        problem = kind(message.split("\n")[0], outcome)
        problem.text = f"{message}\n\nrepeat it, with waves:\n{repeat}" if repeat else message
        case.result = [problem]
        if files := result.get("files"):
            case.system_out = "\n".join(ATTACHMENT.format(_text(str(file))) for file in files)
    return case


def _text(text: str) -> str:
    """As XML can have it."""
    return NOT_IN_XML.sub("\ufffd", text)
