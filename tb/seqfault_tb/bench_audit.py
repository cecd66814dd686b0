"""Compares every answer of a measurement with the page table in memory, after the end. Numbers are written down on their own: nothing is golden's."""

from typing import TYPE_CHECKING

from .errors import WrongAnswer

if TYPE_CHECKING:
    from .fast_machine import FastMachine
    from .kernel import AddressSpace

__all__ = ["FaultAudit"]

PAGE_SHIFT, PPN_SHIFT, PPN_BITS = 12, 10, 44
OK = 0


class FaultAudit:
    """Pages that were faulted in once and then stay.

    Parameters
    ----------
    machine : its requests and answers are observed from now on, besides those who observe them already.
    """

    def __init__(self, machine: "FastMachine") -> None:
        self._machine = machine
        self._asked: dict[tuple[int, int], int] = {}
        self._given: dict[int, int] = {}
        self._expected: dict[int, tuple[AddressSpace, int, int]] = {}
        self._next_request, self._next_answer = machine.on_request, machine.on_answer
        machine.on_request, machine.on_answer = self._on_request, self._on_answer

    def expect(self, mm: "AddressSpace", vpn: int, bits: int, frame: int) -> None:
        """This page has been faulted in; its entry has these bits (9:0), and maps this frame (0: one that no other page has)."""
        if vpn in self._expected:
            raise WrongAnswer(f"page {vpn:#x} was faulted in twice")
        self._expected[vpn] = mm, bits, frame

    def finish(self) -> None:
        """All is done. Raises `WrongAnswer` for an entry that is not what its fault has to leave, a frame given twice, and an empty run."""
        if not self._expected:
            raise WrongAnswer("nothing was measured")
        owner: dict[int, int] = {}
        shared = {frame for _, _, frame in self._expected.values() if frame}
        for vpn, (mm, bits, wanted) in self._expected.items():
            entry = mm.table.read(vpn)
            frame = entry >> PPN_SHIFT & (1 << PPN_BITS) - 1
            if entry != frame << PPN_SHIFT | bits:
                raise WrongAnswer(f"page {vpn:#x} has the entry {entry:#x}, which should have the bits {bits:#x}")
            if self._given.get(vpn) != frame:
                raise WrongAnswer(f"page {vpn:#x} has frame {frame:#x}, but the answer said {self._given.get(vpn)}")
            if wanted and frame != wanted:
                raise WrongAnswer(f"page {vpn:#x} has frame {frame:#x}, not {wanted:#x}")
            if not wanted and (frame in shared or owner.setdefault(frame, vpn) != vpn):
                raise WrongAnswer(f"page {vpn:#x} has frame {frame:#x}, which another page has too")

    def _on_request(self, record: list[int]) -> None:
        _, _, port, tag, va, *_ = record
        self._asked[port, tag] = va
        if self._next_request is not None:
            self._next_request(record)

    def _on_answer(self, record: list[int]) -> None:
        _, _, port, tag, status, _, _, pa, *_ = record
        va = self._asked.pop((port, tag))
        if status == OK:
            if (va ^ pa) & (1 << PAGE_SHIFT) - 1:
                raise WrongAnswer(f"the answer for {va:#x} is {pa:#x}: another place in the page")
            self._given[va >> PAGE_SHIFT] = pa >> PAGE_SHIFT
        if self._next_answer is not None:
            self._next_answer(record)
