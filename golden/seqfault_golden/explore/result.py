"""What an exploration found, as plain data."""

from dataclasses import dataclass

__all__ = ["Exploration", "TraceStep"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceStep:
    """One step of a counter-example.

    Attributes
    ----------
    agent : who took it: "reader 0", "munmap".
    step : its name in protocol.md ("R14", "U2"), or a name of the contract ("PTE_LOCK").
    text : what it does and what came out of it, in words.
    changes : the fields of the shared state that it changed, as "vma 0 seq: 0 -> 1".
    """

    agent: str
    step: str
    text: str
    changes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exploration:
    """The result of exploring one scenario to the end, or to the first thing that must not be.

    Attributes
    ----------
    mutation : the safeguards that were removed, joined by "+"; None: none.
    verdict, expected : "ok", "violation" or "deadlock".
    invariant : which of protocol.md 0.4 (or of issue 4's list) is broken; None: none. explanation : what was seen, in a sentence.
    states, transitions : distinct states found and steps taken between them. seconds : processor time.
    complete : every state that can be reached was looked at (never so with a counter-example).
    agents : the lanes, in order. trace : the shortest way to the bad state; empty: there is none.
    """

    scenario: str
    mutation: str | None
    verdict: str
    expected: str
    invariant: str | None
    explanation: str
    states: int
    transitions: int
    seconds: float
    complete: bool
    agents: tuple[str, ...]
    trace: tuple[TraceStep, ...]
