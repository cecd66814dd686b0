"""The command `seqfault prove`. Imports what it needs when it runs, like the others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import json_output, report
from .errors import CheckFailed

__all__ = ["prove"]


class Solver(StrEnum):
    """SMT solvers that proofs can use."""

    BITWUZLA = "bitwuzla"
    Z3 = "z3"


def prove(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this proof.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Name the proofs and what they state; run none.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only the proofs that take seconds.")] = False,
    planted: Annotated[bool, typer.Option("--planted/--no-planted", help="Also show that each proof fails on planted bugs.")] = True,
    solver: Annotated[Solver, typer.Option("--solver", help="SMT solver.")] = Solver.BITWUZLA,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, metavar="SECONDS", help="Time limit of a check; what takes longer is not closed.")
    ] = 1800,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=64, metavar="N", help="Checks at a time.")] = 2,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not use results of earlier runs.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Prove statements about the RTL with an SMT solver: for all time where induction closes, else to a stated number of cycles."""
    from .prove_check import require_proof_tools
    from .prove_report import list_table, proof_table, verdict_line
    from .report import progress_bar

    with json_output(json_path) as json_file:
        if not listed:
            require_proof_tools(solver.value)
        from .prove import prove as run_proofs
        from .prove import selected

        proofs = selected(name, quick=quick)
        if listed:
            statements = [{"proof": proof.name, "statement": proof.statement, "planted": list(proof.bugs)} for proof in proofs]
            report(statements, list_table(proofs), json_path, json_file)
            return
        with progress_bar("proving", unit="checks") as progress:
            results = run_proofs(proofs, solver=solver.value, timeout=timeout, planted=planted, fresh=fresh, jobs=jobs, progress=progress)
        report([result.record() for result in results], proof_table(results), json_path, json_file)
    failed = [verdict_line(result) for result in results if not result.holds]
    if failed:
        details = "\n\n".join(f"{result.proof.name}\n{result.trace()}" for result in results if result.waves)
        raise CheckFailed("; ".join(failed), details=details)
