"""The file that keeps verdicts on mutants: a header that names the sources they hold for, then a line of JSON for each verdict.

The programs' verdict on a mutant comes first (`Court.close`). What the tests of its block said is a line of its own, with the hash of those tests as
`tested`: it holds for no others.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import seqfault_tb

from .errors import UsageError

__all__ = ["EVENTS", "begin_verdicts", "key_of_tests", "read_verdicts"]

HEADER = "verdicts of seqfault mutate, sources"
EVENTS = {
    "same": "the log is the same, to the cycle: not reached, or equivalent",
    "timing": "the same events at other times",
    "other": "other events, all of them allowed",
}
"""What a survivor did, by how its logs differed from the unchanged engine's."""
BENCH = Path(str(seqfault_tb.__file__)).parent
JUDGES = ("mutate_blocks.py", "simulator.py")
"""What the tests of all blocks are run by, beside this file."""


def key_of_tests(folder: Path) -> str:
    """Hash of the blocks' tests in `folder` (tests/rtl), of their halves in the simulator, and of what they share."""
    folder = folder.resolve()
    judges = [Path(__file__).with_name(name) for name in JUDGES]
    groups = (folder.rglob("*.py"), folder.parent.glob("*.py"), BENCH.rglob("test_*.py"), judges)
    digest = hashlib.sha256()
    for source in (source for group in groups for source in sorted(group)):
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def begin_verdicts(path: Path, key: str) -> None:
    """Make the file, or cut off the line that a crash left unfinished, so that lines can be added. Raises `UsageError` when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            file.seek(0)
            whole = file.read().rfind(b"\n") + 1
            file.truncate(whole)
            if whole == 0:
                file.write(_header(key))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def read_verdicts(path: Path, key: str, tested: str | None) -> dict[int, dict[str, Any]]:
    """By mutant; of the verdicts of tests only those with the hash `tested` (None: none). A last line without an end is left out.

    Raises `UsageError` for a file that has verdicts for other sources than those of `key`, or is none of verdicts.
    """
    content = _content(path)
    if _header(key).startswith(content):
        return {}
    first, *rest = content.split(b"\n")
    header = _record(first)
    if HEADER not in header or not rest:
        raise UsageError(f"{path} is no file of verdicts: it does not begin as `seqfault mutate` does")
    if header[HEADER] != key:
        raise UsageError(f"{path} has verdicts for other sources or other blocks than these: name another file")
    known: dict[int, dict[str, Any]] = {}
    for place, line in enumerate(rest[:-1], start=2):
        record = _record(line)
        if _is_tests(record):
            if record["tested"] == tested and record["mutant"] in known:
                known[record["mutant"]] |= record
        elif _is_programs(record):
            known[record["mutant"]] = dict(record)
        else:
            raise UsageError(f"{path} is no file of verdicts: line {place} is no verdict")
    return known


def _header(key: str) -> bytes:
    return json.dumps({HEADER: key}).encode() + b"\n"


def _content(path: Path) -> bytes:
    """Nothing if there is no file yet."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _record(line: bytes) -> Mapping[str, Any]:
    """An empty one for what is no object of JSON."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_programs(record: Mapping[str, Any]) -> bool:
    if type(record.get("mutant")) is not int or type(record.get("killed")) is not bool or not isinstance(record.get("outcome"), str):
        return False
    return {"by", "message"} <= record.keys() and (record["killed"] or record.get("events") in EVENTS)


def _is_tests(record: Mapping[str, Any]) -> bool:
    if type(record.get("mutant")) is not int or not isinstance(record.get("tested"), str):
        return False
    return "killed" not in record or _is_programs(record)
