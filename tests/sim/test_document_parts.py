"""A part of a document between two markers."""

import pytest

from seqfault.document_parts import split_document
from seqfault.errors import UsageError

TEXT = "prose\n<begin>\nmade\n<end>\nmore prose\n"


def test_the_markers_stay_with_the_prose() -> None:
    before, part, after = split_document(TEXT, "a.md", "<begin>", "<end>")
    assert (before, part, after) == ("prose\n<begin>", "\nmade\n", "<end>\nmore prose\n")


@pytest.mark.parametrize("text", ["", "<begin> <end", "<end> <begin>", "<begin> <end> <end>", "<begin> <begin> <end>", "<end> <begin> <end>"])
def test_markers_that_are_not_there_once_and_in_order(text: str) -> None:
    with pytest.raises(UsageError, match=r"^a\.md must have the line <begin> and, below it, <end>, each once$"):
        split_document(text, "a.md", "<begin>", "<end>")
