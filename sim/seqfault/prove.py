"""Runs the proofs of `seqfault_tb.formal.catalogue`: each statement by induction where it closes, and each planted bug until it is found."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from amaranth.back import rtlil

from seqfault_tb.formal.catalogue import PROOFS, Proof
from seqfault_tb.formal.spec import LEMMA

from .errors import UsageError
from .prove_check import Check, Mode, Verdict
from .prove_trace import readable_trace

__all__ = ["ProofResult", "prove", "selected"]


@dataclass(frozen=True, kw_only=True)
class ProofResult:
    """How a proof ended.

    Parameters
    ----------
    proof : what was to be proved.
    result : "proved" (for all time), "bounded" (no counter-example in `bound` cycles from reset, and no more was asked), "failed", or
        "not closed": the time was up, or the induction failed, with `bound` cycles checked.
    bound : cycles from reset that were checked; None when proved; when failed, the cycle in which the counter-example ends.
    engine : method, its k, solver.
    seconds : of the statement and all planted bugs; what came from the cache counts what it took then.
    planted : planted bug to the cycle in which a promise was broken; None: it was not found.
    broken, waves : what the counter-example breaks, and its VCD.
    """

    proof: Proof
    result: str
    bound: int | None
    engine: str
    seconds: float
    planted: dict[str, int | None]
    broken: tuple[str, ...] = ()
    waves: str = ""

    @property
    def missed(self) -> list[str]:
        """Planted bugs that were not found."""
        return [bug for bug, found in self.planted.items() if found is None]

    @property
    def holds(self) -> bool:
        return self.result in ("proved", "bounded") and not self.missed

    def record(self) -> dict[str, Any]:
        """The JSON of this result."""
        return {
            "proof": self.proof.name, "statement": self.proof.statement, "result": self.result, "bound": self.bound, "engine": self.engine,
            "seconds": round(self.seconds, 1), "planted": [{"bug": bug, "found_at": found} for bug, found in self.planted.items()],
            "counter_example": self.waves or None, "broken": list(self.broken),
        }  # fmt: skip

    def trace(self) -> str:
        """The counter-example as text."""
        return readable_trace(Path(self.waves)) if self.waves else ""


def selected(name: str | None, *, quick: bool = False) -> list[Proof]:
    """The proof of this name, or all (`quick`: those of the tests). Raises `UsageError` for an unknown name."""
    if name is None:
        return [proof for proof in PROOFS.values() if proof.quick or not quick]
    if name not in PROOFS:
        raise UsageError(f"unknown proof {name!r}; known: {', '.join(PROOFS)}")
    return [PROOFS[name]]


def prove(
    proofs: Iterable[Proof], *, solver: str, timeout: float, planted: bool = True, fresh: bool = False, jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ProofResult]:  # fmt: skip
    """Run proofs, `jobs` checks at a time; `timeout` in seconds for each check.

    Raises `SeqfaultError` when a tool fails.
    """
    proofs = list(proofs)
    checks = {(proof.name, what): check for proof in proofs for what, check in _checks(proof, solver, planted)}
    verdicts: dict[tuple[str, str], Verdict] = {}
    progress(0, len(checks))
    stop = Event()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            running = pool.map(lambda check: check.run(timeout=timeout, fresh=fresh, stop=stop), checks.values())
            for key, verdict in zip(checks, running, strict=True):
                verdicts[key] = verdict
                progress(len(verdicts), len(checks))
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    results = []
    for proof in proofs:
        mine = {what: verdict for (name, what), verdict in verdicts.items() if name == proof.name}
        if mine["search"].holds is False and all(name.startswith(LEMMA) for name in mine["search"].broken):
            mine["search"] = _without_lemmas(proof, solver).run(timeout=timeout, fresh=fresh)
            mine["induction"] = replace(mine["induction"], holds=False)
        results.append(_result(proof, mine, solver))
    return results


def _without_lemmas(proof: Proof, solver: str) -> Check:
    """The search for what breaks a promise, where only a lemma is broken: the lemma may be wrong and the statement right."""
    return Check(design=_design(proof, lemmas=False), mode=Mode.SEARCH, cycles=proof.depth, solver=solver)


def _checks(proof: Proof, solver: str, planted: bool) -> Iterable[tuple[str, Check]]:
    """The checks of a proof by what they are for."""
    design = _design(proof)
    yield "search", Check(design=design, mode=Mode.SEARCH, cycles=proof.depth, solver=solver)
    if proof.induction:
        yield "induction", Check(design=design, mode=Mode.INDUCTION, cycles=proof.induction, solver=solver)
    for bug in proof.bugs if planted else ():
        yield f"bug {bug}", Check(design=_design(proof, bug), mode=Mode.SEARCH, cycles=proof.depth, solver=solver)


def _design(proof: Proof, bug: str | None = None, *, lemmas: bool = True) -> str:
    top = proof.top(bug, lemmas=lemmas)
    return str(rtlil.convert(top, name="top", ports=[top.domain.clk], emit_src=False))


def _result(proof: Proof, verdicts: dict[str, Verdict], solver: str) -> ProofResult:
    search, induction = verdicts["search"], verdicts.get("induction")
    bugs = {bug: verdicts.get(f"bug {bug}") for bug in proof.bugs}
    found = {bug: verdict.cycles if verdict.holds is False else None for bug, verdict in bugs.items() if verdict is not None}
    result, engine = "bounded", "search"
    bound: int | None = search.cycles
    if search.holds is False:
        result = "failed"
    elif search.holds is None:
        result = "not closed"
    elif induction is not None:
        result, bound, engine = ("proved", None, f"induction, k = {induction.cycles}") if induction.holds else ("not closed", bound, "induction")
    return ProofResult(
        proof=proof, result=result, bound=bound, engine=f"{engine} ({solver})", seconds=sum(verdict.seconds for verdict in verdicts.values()),
        planted=found, broken=search.broken, waves=search.waves,
    )  # fmt: skip
