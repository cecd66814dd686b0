"""docs/mutation.md: made by `seqfault mutate --document`, but for one part that people write and the command keeps."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .document_parts import split_document
from .errors import UsageError
from .mutate import Campaign, Tried
from .mutate_report import likely, place, score, scores, survivors
from .mutate_verdicts import EVENTS

__all__ = ["ARGUED", "END", "document_text", "read_document"]

ARGUED, END = "<!-- argued -->", "<!-- end of what is argued -->"
"""Around the part that is kept."""
NOTHING = "\nNothing is argued yet.\n"


def read_document(path: Path) -> str:
    """The page as it is, if there is one. Raises `UsageError` when it cannot be told which part of it is to be kept."""
    if not path.is_file():
        return ""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"cannot read {path}") from None
    _argued(text, path)
    return text


def document_text(campaign: Campaign, tried: Sequence[Tried], *, old: str, seed: int, command: str) -> str:
    """The page. `old`: the page as it was, whose argued part is kept. `command`: the one that was given."""
    whole = len(tried) == len(campaign.found)
    which = "all of them" if whole else f"a random sample (seed {seed}) of {len(tried)}"
    lines = [
        "# Mutation score", "",
        "Made by `seqfault mutate --document`; only the part on the survivors' classes is written by people. A mutant is the engine with one small"
        " change in a module that carries the protocol (`tb/seqfault_tb/mutants/blocks.py` says which, and why). It is killed when a program of the"
        " regression makes the checker name a difference, hangs, or fails otherwise"
        + (", or when a test of its block fails." if _by_tests(tried) else "."), "",
        f"{len(campaign.found)} mutants of {len(campaign.modules)} modules; tried: {which}. Again: `{command}`.", "",
        f"**Killed: {sum(item.killed for item in tried)} of {len(tried)}, {score(tried):.1f} %**{'' if whole else _likely(tried)}. "
        f"Each was tried on up to {len(campaign.programs)} programs of {_faults(campaign)} faults.", "",
        *_killers(tried), *_scores("module", [(name, every, killed) for name, every, killed in scores(tried, lambda item: item.mutant.file)]),
        *_scores("change", scores(tried, lambda item: item.mutant.operator)), "## What is argued", "", f"{ARGUED}{_argued(old)}{END}", "",
        *_survivors(tried),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _likely(tried: Sequence[Tried]) -> str:
    if not tried:
        return ""
    least, most = likely(tried)
    return f" (of all mutants {least:.0f} to {most:.0f} %, with a probability of 95 %)"


def _faults(campaign: Campaign) -> str:
    """Least and most that a program has."""
    counts = [program.faults for program in campaign.programs]
    return f"{min(counts)} to {max(counts)}"


def _argued(old: str, where: object = "the page") -> str:
    return split_document(old, where, ARGUED, END)[1] if ARGUED in old or END in old else NOTHING


def _by_tests(tried: Sequence[Tried]) -> bool:
    return any(item.verdict["outcome"] == "test" for item in tried)


def _killers(tried: Sequence[Tried]) -> list[str]:
    how = Counter(item.verdict["outcome"] for item in tried if item.killed)
    names = {
        "difference": "the golden checker named a difference", "hang": "the run hung, or took many times as long",
        "failed": "the kernel's own checks", "died": "the simulator ended", "test": "no program, but the block's own tests",
    }  # fmt: skip
    return ["| killed by | mutants |", "|---|---|", *(f"| {names[name]} | {count} |" for name, count in how.most_common()), ""]


def _scores(what: str, rows: Sequence[tuple[str, int, int]]) -> list[str]:
    body = [f"| {name} | {every} | {killed} | {100 * killed / every:.1f} |" for name, every, killed in rows]
    return [f"| {what} | tried | killed | % |", "|---|---|---|---|", *body, ""]


def _survivors(tried: Sequence[Tried]) -> list[str]:
    lines = ["## Survivors", ""]
    for kind, meaning in EVENTS.items():
        found = [item for item in survivors(tried) if item.verdict["events"] == kind]
        if found:
            lines += [f"### {kind} ({len(found)})", "", f"{meaning[0].upper()}{meaning[1:]}.", ""]
            lines += ["| place | change | of | into |", "|---|---|---|---|", *(_row(item) for item in found), ""]
    return lines


def _row(item: Tried) -> str:
    return f"| {place(item.mutant)} | {item.mutant.operator} | {_code(item.mutant.before)} | {_code(item.mutant.after)} |"


def _code(text: str, most: int = 90) -> str:
    short = text if len(text) <= most else f"{text[: most - 3]}..."
    return f"`{short.replace('|', chr(92) + '|')}`" if short else ""
