"""Fault reports, and the words of the fault-queue record that is made of them. [IOMMU 4.2]"""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import Out

from .messages import Outcome
from .paging import Access

__all__ = ["RECORD_WORDS", "FaultRecordWord0", "FaultRecordWord1", "FaultReport", "ReportSignature", "TransactionType", "record_words"]

RECORD_WORDS = 4
"""64-bit words of a record."""


class TransactionType(enum.Enum, shape=6):
    """TTYP: what the requester asked for. The engine's requests are untranslated ones. [IOMMU 4.2, TTYP encodings]"""

    NONE = 0
    READ_FOR_EXECUTE = 1
    READ = 2
    WRITE = 3

    @staticmethod
    def of_access(access: Value) -> Value:
        """That of an `Access`."""
        access = Value.cast(access)
        executes, writes = access == Access.FETCH.value, access == Access.STORE.value
        return Mux(executes, TransactionType.READ_FOR_EXECUTE.value, Mux(writes, TransactionType.WRITE.value, TransactionType.READ.value))


class FaultReport(data.Struct):
    """A request that was refused: `cause` as in CAUSE (a `Cause`: access or page fault of a fetch, load or store), why (`reason`), and whose it was.

    `address`: the full virtual address in bytes.
    """

    cause: 12
    access: Access
    space: 16
    port: 8
    tag: 9
    supervisor: 1
    reason: Outcome
    address: 64


class ReportSignature(wiring.Signature):
    """Reports, seen from who makes them: one in each cycle in which `valid` is 1. They are never held up, so nobody is asked whether he is ready."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "payload": Out(FaultReport)})


class FaultRecordWord0(data.Struct):
    """First word of a record."""

    cause: 12
    pid: 20
    pv: 1
    priv: 1
    ttyp: TransactionType
    did: 24


class FaultRecordWord1(data.Struct):
    """Second word; its lower half is the engine's own ("for custom use"). The third word is iotval, the fourth iotval2."""

    reason: Outcome
    tag: 9
    reserved_14: 18
    reserved_32: 32


def record_words(m: Module, report: FaultReport) -> list[Value]:
    """The words of the record, in the order of their addresses. iotval2 is 0: it is for guest pages, which the engine does not have."""
    word0, word1 = Signal(FaultRecordWord0), Signal(FaultRecordWord1)
    m.d.comb += [
        word0.cause.eq(report.cause),
        word0.pid.eq(report.space),
        word0.pv.eq(1),
        word0.priv.eq(report.supervisor),
        word0.ttyp.eq(TransactionType.of_access(report.access)),
        word0.did.eq(report.port),
        word1.reason.eq(report.reason),
        word1.tag.eq(report.tag),
    ]
    return [word0.as_value(), word1.as_value(), report.address, Const(0, 64)]
