"""Observers of a run besides the checker: each gets the machine's merged log, in order, and has a result for the job's JSON."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..checked import Checked
    from ..kernel import Kernel

__all__ = ["Watcher", "watch"]


class Watcher:
    """Sees what it overrides. Records are those of the merged log, lists of ints that a watcher may keep but not change.

    An event is [kind, cycle, first, last, agent, outcome, space, vpn, id, seq, addr, data], a request [kind, cycle, port, tag, va, space, access,
    flags], an answer [kind, cycle, port, tag, status, how, reason, pa, issued]. [docs/software-contract.md, Steps and outcomes]
    """

    name: str
    """Its key in the job's result."""

    def start(self, kernel: "Kernel") -> None:
        """The testbench kernel is made, and nothing has run yet."""

    def event(self, record: list[int]) -> None:
        """A step of the protocol, after the checker has judged it."""

    def request(self, record: list[int]) -> None:
        """A port has taken a request."""

    def answer(self, record: list[int]) -> None:
        """A port has got an answer."""

    def result(self) -> Any:
        """What it has to say at the end of the run: for JSON."""
        raise NotImplementedError


def watch(machine: "Checked", watchers: Iterable[Watcher]) -> None:
    """From now on these see the log too. Call it after `attach_checker`. Those that do not override a method cost nothing."""
    for kind in ("event", "request", "answer"):
        methods = [getattr(watcher, kind) for watcher in watchers if getattr(type(watcher), kind) is not getattr(Watcher, kind)]
        if methods:
            setattr(machine, f"on_{kind}", _all([getattr(machine, f"on_{kind}"), *methods]))


def _all(methods: list[Callable[[list[int]], None]]) -> Callable[[list[int]], None]:
    def call(record: list[int]) -> None:
        for method in methods:
            method(record)

    return call
