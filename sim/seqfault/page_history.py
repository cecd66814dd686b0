"""What may be done with each page of an address space, and since which change of its layout."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from seqfault_tb.kernel import LayoutChange

__all__ = ["FETCH", "LOAD", "STORE", "Flip", "PageHistory"]

LOAD, STORE, FETCH = 1, 2, 4
SETTLED = 64
"""Pieces whose last changes are this many operations ago are joined: what waits for one then waits for both."""
Flip = tuple[int, int, int]
"""Pages [start, end), and the accesses for which the answer became another one."""


@dataclass(slots=True)
class _Piece:
    """Pages with one state; `since`: for load, store and fetch the ticket from which on this has been the answer."""

    start: int
    end: int
    rights: int
    source: object
    since: tuple[int, int, int] = (0, 0, 0)

    @property
    def allowed(self) -> int:
        """LOAD, STORE and FETCH that are permitted. `rights`: 1 read, 2 write, 4 execute; any of them permits to read."""
        return (LOAD if self.rights else 0) | self.rights & 6

    def part(self, start: int, end: int) -> "_Piece":
        return _Piece(start, end, self.rights, self.source, self.since)


class PageHistory:
    """What may be done with each page of an mm, and since when."""

    def __init__(self, pieces: list[_Piece] | None = None) -> None:
        self._pieces = pieces or []
        self._starts = [piece.start for piece in self._pieces]

    def copy(self) -> "PageHistory":
        """The same state, as if it had always been so."""
        return PageHistory([_Piece(p.start, p.end, p.rights, p.source) for p in self._pieces])

    def allows(self, vpn: int, access: int) -> bool:
        """This access is permitted now."""
        piece = self._find(vpn)
        return piece is not None and bool(piece.allowed & access)

    def since(self, vpn: int, access: int) -> int:
        """The ticket of the change that gave the present answer to this access; 0: it always was so."""
        piece = self._find(vpn)
        return piece.since[access >> 1] if piece is not None else 0

    def _find(self, vpn: int) -> _Piece | None:
        at = bisect_right(self._starts, vpn) - 1
        return self._pieces[at] if at >= 0 and self._pieces[at].end > vpn else None

    def apply(self, change: LayoutChange, ticket: int) -> list[Flip]:
        """Make a change; returns what became otherwise."""
        low = bisect_right(self._starts, change.start) - 1
        if low < 0 or self._pieces[low].end <= change.start:
            low += 1
        high = bisect_left(self._starts, change.end, low)
        flips: list[Flip] = []
        fresh: list[_Piece] = []
        for old in self._filled(low, high, change.start, change.end):
            start, end = max(old.start, change.start), min(old.end, change.end)
            if old.start < start:
                fresh.append(old.part(old.start, start))
            self._add(fresh, self._changed(old.part(start, end), change, ticket, flips), ticket)
            if old.end > end:
                fresh.append(old.part(end, old.end))
        self._pieces[low:high] = fresh
        self._starts[low:high] = [piece.start for piece in fresh]
        return flips

    def _filled(self, low: int, high: int, start: int, end: int) -> Iterator[_Piece]:
        """The pieces, with empty ones for the holes of [start, end)."""
        for piece in self._pieces[low:high]:
            if start < piece.start:
                yield _Piece(start, piece.start, 0, None)
            yield piece
            start = piece.end
        if start < end:
            yield _Piece(start, end, 0, None)

    @staticmethod
    def _changed(piece: _Piece, change: LayoutChange, ticket: int, flips: list[Flip]) -> _Piece:
        """The piece after the change; what this flips is added to `flips`."""
        before, source = piece.allowed, piece.source
        if change.op == "clear":
            piece.rights, piece.source = 0, None
        else:
            piece.rights = (change.perm[0] == "r") | (change.perm[1] == "w") << 1 | (change.perm[2] == "x") << 2
        if change.op == "set":
            anonymous = change.file is None and change.kind != "special"
            piece.source = "anon" if anonymous else (change.kind, change.file, change.pgoff - change.start)
        flipped = before ^ piece.allowed | (before & piece.allowed if source != piece.source else 0)
        if flipped:
            since = piece.since
            piece.since = tuple(ticket if flipped >> bit & 1 else since[bit] for bit in range(3))  # type: ignore[assignment]
            flips.append((piece.start, piece.end, flipped))
        return piece

    @staticmethod
    def _add(fresh: list[_Piece], piece: _Piece, ticket: int) -> None:
        """Add a piece, joined with the one before when both are alike and settled."""
        if fresh and (last := fresh[-1]).end == piece.start and (last.rights, last.source) == (piece.rights, piece.source):
            since = tuple(map(max, last.since, piece.since))
            if last.since == piece.since or max(since) + SETTLED < ticket:
                last.end, last.since = piece.end, since  # type: ignore[assignment]
                return
        fresh.append(piece)
