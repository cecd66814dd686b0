"""The blocks around a fault unit under test: what each is asked, and what it answers."""

from typing import Any

from seqfault_rtl.messages import (
    FindRequest,
    FindResponse,
    MemoryWriteRequest,
    MemoryWriteResponse,
    PageRequest,
    PageRequestDone,
    WalkRequest,
    WalkResponse,
)
from seqfault_rtl.move_messages import MoveAnswer, MoveJob
from seqfault_rtl.page_messages import FaultAroundAnswer, FaultAroundJob, PageLookupRequest, PageLookupResponse

__all__ = ["REQUESTS", "World"]

REQUESTS: dict[str, tuple[Any, str, str, Any, str]] = {
    "find_request": (FindRequest, "find", "find_response", FindResponse, "tag"),
    "walk_request": (WalkRequest, "walk", "walk_response", WalkResponse, "tag"),
    "write__request": (MemoryWriteRequest, "write", "write__response", MemoryWriteResponse, "tag"),
    "page_request": (PageRequest, "page_done", "page_done", PageRequestDone, "agent"),
    "look_request": (PageLookupRequest, "look", "look_response", PageLookupResponse, "tag"),
    "move_job": (MoveJob, "move", "move_answer", MoveAnswer, "tag"),
    "around_job": (FaultAroundJob, "around", "around_answer", FaultAroundAnswer, "tag"),
}
"""Port: its payload, the answer's kind, the answer's port and payload, the field that names the context."""


class World:
    """What the blocks around the fault unit answer; a test overrides it. Each call is the moment at which memory is read or written."""

    def holds(self, kind: str) -> bool:
        """No answer of this kind (of those in `REQUESTS`) for now."""
        return False

    def find(self, request: dict[str, int]) -> dict[str, Any]:
        """The record's `FindResponse` fields but `seq` and `tag`."""
        raise NotImplementedError

    def find_id(self, request: dict[str, int]) -> int:
        """The id, some cycles before the record is read."""
        raise NotImplementedError

    def walk(self, request: dict[str, int]) -> dict[str, int]:
        """`WalkResponse` fields but `tag`; `pte` as a number."""
        raise NotImplementedError

    def write(self, address: int, data: int) -> bool:
        """A page-table entry is written; True: bus error."""
        raise NotImplementedError

    def entry(self, address: int) -> int:
        """The page-table entry there."""
        raise NotImplementedError

    def look(self, request: dict[str, int]) -> dict[str, int]:
        """`PageLookupResponse` fields but `tag`."""
        raise NotImplementedError

    def move(self, request: dict[str, int]) -> bool:
        """A frame is copied or zeroed; True: bus error."""
        raise NotImplementedError

    def around(self, request: dict[str, int]) -> dict[str, int]:
        """Entries around are written: `FaultAroundAnswer` fields but `tag`."""
        raise NotImplementedError

    def queue(self, request: dict[str, int]) -> int:
        """Outcome of a page request."""
        raise NotImplementedError
