"""How a translation ended, said by a vector, the golden model or the RTL in the same words."""

from typing import Any, NamedTuple

from seqfault_golden import REASON, Access, BusError, Cause, Features, Outcome, PagingMode, Privilege, Refusal, translate

__all__ = ["ACCESS_FAULT", "PAGE_FAULT", "TRANSLATED", "End", "golden_end", "reader"]

TRANSLATED, PAGE_FAULT, ACCESS_FAULT, RETRY = range(4)
_STATUS = ("translated", "page fault", "access fault", "retry")


class End(NamedTuple):
    """`status` and `cause` as in a vector; `reads`: byte addresses in order (None: not compared); `updates`: (address, new value) of entries written.

    `pbmt`, `reason` (None: not compared): of the answer.
    """

    status: int
    cause: int
    pa: int
    reads: tuple[int, ...] | None
    updates: tuple[tuple[int, int], ...]
    pbmt: int | None = None
    reason: int | None = None

    def __str__(self) -> str:
        parts = [f"{_STATUS[self.status]} to {self.pa:#x}" if self.status == TRANSLATED else f"{_STATUS[self.status]}, cause {self.cause}"]
        if self.reason:
            parts.append(f"reason {Outcome(self.reason).name}")
        if self.pbmt:
            parts.append(f"pbmt {self.pbmt}")
        if self.reads is not None:
            parts.append(f"reads {' '.join(f'{address:#x}' for address in self.reads) or 'nothing'}")
        parts += [f"writes {value:#x} to {address:#x}" for address, value in self.updates]
        return "; ".join(parts)


def reader(words: dict[int, int], limit: int) -> Any:
    """A `read` of golden: these entries, zeros elsewhere, an error at and above `limit`."""

    def read(address: int) -> int:
        if address >= limit:
            raise BusError
        return words.get(address, 0)

    return read


def golden_end(mode: PagingMode, root: int, va: int, control: Any, read: Any) -> End:
    """What the golden model says; `control` as in a vector."""
    end = translate(
        mode, root, va, Access(control.access), read, privilege=Privilege(int(control.supervisor)), sum=control.sum, mxr=control.mxr,
        features=Features(adue=control.adue, pbmte=control.pbmte, napot=control.napot),
    )  # fmt: skip
    if isinstance(end, Refusal):
        status = ACCESS_FAULT if end.cause is Cause.BUS_ERROR else PAGE_FAULT
        return End(status, end.exception, 0, end.reads, (), 0, REASON[end.cause])
    return End(TRANSLATED, 0, end.pa, end.reads, (end.update,) if end.update else (), end.pbmt, Outcome.OK)
