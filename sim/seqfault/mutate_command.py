"""The command `seqfault mutate`. Imports what it needs when it runs, like the others."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .console import json_output, report
from .errors import UsageError

__all__ = ["mutate"]


def mutate(
    context: typer.Context,
    blocks: Annotated[
        list[str] | None, typer.Argument(metavar="BLOCK...", help="Modules of the RTL, or groups of them (fault, command, ...); all without one.")
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Only list the mutants.")] = False,
    sample: Annotated[int | None, typer.Option("--sample", min=1, metavar="N", help="Only N of the mutants, chosen at random.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the order in which they are tried.")] = 1,
    limit: Annotated[float | None, typer.Option("--limit", min=1, metavar="SECONDS", help="Begin no mutant after so many seconds.")] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=256, help="Simulations at a time.")] = 1,
    tests: Annotated[
        Path | None, typer.Option("--tests", metavar="DIR", help="Try survivors on the blocks' own tests too: where tests/rtl of the repository is.")
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE", help="File that keeps the verdicts; one of its own for each state of the sources.")
    ] = None,
    document: Annotated[Path | None, typer.Option("--document", metavar="FILE", help="Write a Markdown page; what is argued in it is kept.")] = None,
    at_least: Annotated[
        float | None, typer.Option("--at-least", min=0, max=100, metavar="PERCENT", help="Fail when fewer mutants are killed.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Change the RTL in small ways, one at a time, and count the changes that the testbench notices.

    What was tried is kept: after Ctrl-C or --limit the same command goes on.
    """
    from .doctor import require_simulation_tools
    from .mutate import choose_modules, prepare
    from .mutate_document import document_text, read_document
    from .mutate_report import check_score, list_table, mutant_record, result_record, result_table
    from .output import optional_file
    from .report import progress_bar

    modules = choose_modules(blocks or [])
    if tests is not None and not (tests / "test_fault_unit.py").is_file():
        raise UsageError(f"--tests: {tests} is not the folder tests/rtl of the repository")
    with json_output(json_path) as json_file, optional_file(document) as document_file:
        if document is not None:
            read_document(document)
        campaign = prepare(modules, sample=sample, seed=seed, verdicts=verdicts, tests=tests)
        if list_only:
            report([mutant_record(mutant) for mutant in campaign.chosen], list_table(campaign.chosen), json_path, json_file)
            return
        require_simulation_tools()
        with progress_bar("trying mutants", unit="mutants") as progress:
            campaign.run(jobs=jobs, limit=limit, on_progress=progress)
        tried = campaign.tried()
        if document is not None and document_file is not None:
            old = read_document(document)
            document_file.write_text(document_text(campaign, tried, old=old, seed=seed, command=_given(context)))
        report(result_record(campaign, tried), result_table(campaign, tried), json_path, json_file)
    check_score(tried, at_least)


def _given(context: typer.Context) -> str:
    """The command line, with the arguments and options that were given and no others."""
    words = ["seqfault", "mutate"]
    for parameter in context.command.params:
        name = str(parameter.name)
        source, value = context.get_parameter_source(name), context.params[name]
        if source is None or source.name != "COMMANDLINE":
            continue
        if parameter.param_type_name == "option":
            words.append(max(parameter.opts, key=len))
        if not isinstance(value, bool):
            words += [f"{item:.15g}" if isinstance(item, float) else str(item) for item in (value if isinstance(value, list | tuple) else [value])]
    return shlex.join(words)
