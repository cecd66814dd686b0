"""The files that a regression writes besides its JSON: page, JUnit XML, coverage."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .coverage import export_database
from .output import OutputFile
from .regress_plan import case_name

if TYPE_CHECKING:
    from .regress import Regression

__all__ = ["write_outputs"]


def write_outputs(regression: "Regression", files: Mapping[str, OutputFile | None], command: str, coverage: Mapping[str, Any]) -> None:
    """Write those of "html", "junit", "coverage" and "database" that are asked for; `coverage` : of `coverage_record`.

    Of a run that was broken off page and JUnit XML say so, and name what was not run.
    """
    done = {result["case"] for result in regression.results}
    not_run = [case for number, case in enumerate(regression.cases) if number not in done]
    if (file := files["coverage"]) is not None:
        file.write_text(json.dumps(coverage, indent=1) + "\n")
    if (file := files["database"]) is not None:
        export_database(regression.coverage, file.temporary)
        file.commit()
    if (file := files["html"]) is not None:
        from .regress_html import regress_page

        results = [{**result, "files": _beside(result.get("files", ()), file.path)} for result in regression.results]
        notes = [f"The run was broken off: {len(not_run):,} of {len(regression.cases):,} programs were not run."] if not_run else []
        file.write_text(
            regress_page(
                results, title="Regression", command=command, coverage=coverage["points"], code=coverage["code"], wall_s=regression.seconds,
                pool=regression.statistics, notes=[*notes, *coverage["problems"]],
            )
        )  # fmt: skip
    if (file := files["junit"]) is not None:
        from .regress_junit import junit_xml

        left_out = [(str(case.get("profile", "program")), case_name(case)) for case in not_run]
        file.write_text(junit_xml(regression.results, command=command, wall_s=regression.seconds, left_out=left_out))


def _beside(paths: Sequence[str], page: Path) -> list[str]:
    """These files as a page names them."""
    return [os.path.relpath(path, page.parent) for path in paths]
