"""The tables of docs/coverage.md, which `python -m seqfault.coverage_plan` prints: the test plan with its cover points, what is left out and why."""

from collections import Counter

from seqfault_tb.coverage.plan import TEST_PLAN
from seqfault_tb.coverage.points import BY_NAME, POINTS

__all__ = ["plan_markdown"]


def plan_markdown() -> str:
    """Markdown, as it stands in the document."""
    lines = ["| test point | cover points | tested besides in |", "|---|---|---|"]
    for row in TEST_PLAN:
        points = ", ".join(f"{name} ({len(BY_NAME[name].counted)})" for name in row.points)
        lines.append(f"| {row.name} | {points} | {', '.join(f'`{test}`' for test in row.tests)} |")
    lines += ["", "| cover point | a bin is reached when |", "|---|---|", *(f"| {point.name} | {point.sentence} |" for point in POINTS)]
    lines += ["", "| left out of | bins | why | if it is reached |", "|---|--:|---|---|"]
    for point in POINTS:
        reasons = Counter((left.reason, left.never) for left in point.excluded.values())
        lines += [
            f"| {point.name} | {count} | {reason} | {'an error' if never else 'it counts for nothing'} |"
            for (reason, never), count in reasons.items()
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(plan_markdown(), end="")
