"""The registers as data: the one description from which the RTL, the C header and the documentation are made.

Page 0 is the register page of the RISC-V IOMMU, version 1.0, where it fits [IOMMU 5]; the engine's own registers are in its custom
range. Page 1 holds counters, and the completion ring of SRCU.
Registers of the standard that are not listed (`ddtp`, the MSI table, ...) are not built and read 0.
"""

import enum
from dataclasses import dataclass

from .messages import How, Outcome

__all__ = ["REGISTERS", "Access", "Field", "Register"]


class Access(enum.Enum):
    """What software may do with a field."""

    RO = "RO"
    """Read only: a constant, or driven by hardware."""
    RW = "RW"
    W1C = "RW1C"
    """Set by hardware, cleared by writing 1; hardware wins when both happen."""
    LOCKED = "RW while off"
    """A write while the register's queue is on is ignored and sets `errors.locked_write`."""
    ENABLE = "RW enable"
    """Setting it clears the RW1C fields of its register; ignored, with `errors.busy_write`, while the queue is still being turned off."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits `low` .. `low` + `width` - 1 of a register.

    `modulo` names the base register of the ring that this field indexes: bits at and above log2 of the ring's size read 0.

    Raises
    ------
    ValueError : the reset value does not fit.
    """

    name: str
    low: int
    width: int = 1
    access: Access = Access.RW
    reset: int = 0
    doc: str = ""
    modulo: str | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or not 0 <= self.reset < 1 << self.width:
            raise ValueError(f"{self.name}: reset must fit in {self.width} bits, not {self.reset:#x}")


@dataclass(frozen=True, kw_only=True)
class Register:
    """A register of `width` bits at byte `offset`, or `count` of them, each `width` / 8 bytes after the one before.

    `queue` names the CSR whose `enable` field locks the LOCKED fields of this register.

    Raises
    ------
    ValueError : misaligned, or fields that overlap or do not fit.
    """

    name: str
    offset: int
    width: int
    fields: tuple[Field, ...]
    doc: str
    count: int = 1
    queue: str | None = None

    def __post_init__(self) -> None:
        if self.width not in (32, 64) or self.offset % (self.width // 8):
            raise ValueError(f"{self.name} must have 32 or 64 bits and be aligned to them, not {self.width} at {self.offset:#x}")
        free = 0
        for field in sorted(self.fields, key=lambda field: field.low):
            if field.low < free or field.low + field.width > self.width:
                raise ValueError(f"{self.name}.{field.name} overlaps or does not fit")
            free = field.low + field.width


def _ring_base(name: str, offset: int, csr: str, what: str) -> Register:
    """LOG2SZ-1 and PPN. [IOMMU 5.6]"""
    return Register(
        name=name, offset=offset, width=64, queue=csr, doc=f"{what}: where it is.",
        fields=(
            Field(name="log2sz_minus_1", low=0, width=4, access=Access.LOCKED, doc="2^(n+1) entries; WARL: bit 4 is 0, so at most 65536."),
            Field(name="ppn", low=10, width=44, access=Access.LOCKED, doc="First page; a ring over 4 KiB must be aligned to its size."),
        ),
    )  # fmt: skip


def _index(name: str, offset: int, access: Access, what: str, base: str) -> Register:
    """A head or tail. [IOMMU 5.7, 5.8]"""
    writable = access is not Access.RO
    doc = f"Next entry; only as many bits as {base} has entries for are writable." if writable else "Next entry."
    field = Field(name="index", low=0, width=16, access=access, doc=doc, modulo=base if writable else None)
    return Register(name=name, offset=offset, width=32, fields=(field,), doc=what)


def _csr(name: str, offset: int, letters: str, interrupt: str, errors: tuple[Field, ...], what: str) -> Register:
    """Control and status of a queue; `letters` is the prefix of its bits in the standard. [IOMMU 5.15]"""
    return Register(
        name=name, offset=offset, width=32, queue=name, doc=f"{what}: control and status.",
        fields=(
            Field(name=f"{letters}en", low=0, access=Access.ENABLE, doc="Queue on or off; turning it on sets the engine's index to 0."),
            Field(name=interrupt, low=1, doc="Interrupt enable."),
            *errors,
            Field(name=f"{letters}on", low=16, access=Access.RO, doc="The queue is on, or still has accesses in flight."),
            Field(name="busy", low=17, access=Access.RO, doc="The queue is being turned off."),
        ),
    )  # fmt: skip


def _sticky(name: str, low: int, doc: str) -> Field:
    return Field(name=name, low=low, access=Access.W1C, doc=doc)


def _counter(name: str, offset: int, doc: str, count: int = 1) -> Register:
    field = Field(name="count", low=0, width=COUNTER_BITS, access=Access.RO, doc="Read high, low, high again: the halves are not latched.")
    return Register(name=name, offset=offset, width=64, count=count, fields=(field,), doc=doc)


COUNTER_BITS = 48
"""Width of the counters in bits; they wrap."""

_CAPABILITIES = Register(
    name="capabilities", offset=0x0, width=64, doc="What is built. [IOMMU 5.3]",
    fields=(
        Field(name="version", low=0, width=8, access=Access.RO, reset=0x10, doc="Version 1.0 of the RISC-V IOMMU's register layout."),
        Field(name="sv39", low=9, access=Access.RO, reset=1),
        Field(name="sv48", low=10, access=Access.RO, reset=1),
        Field(name="igs", low=28, width=2, access=Access.RO, reset=1, doc="Interrupts by wire only."),
        Field(name="pas", low=32, width=6, access=Access.RO, reset=56, doc="Physical address bits."),
        Field(name="s", low=43, access=Access.RO, reset=1, doc="IOTINVAL.VMA with an address range."),
        Field(name="custom", low=56, width=8, access=Access.RO, reset=1, doc="1: a seqfault engine, first version."),
    ),
)  # fmt: skip

_COMMAND_ERRORS = (
    _sticky("cqmf", 8, "Bus error; cqh is at the command. The queue stops until this is cleared."),
    _sticky("cmd_to", 9, "Never set: no command times out."),
    _sticky("cmd_ill", 10, "Illegal command; cqh is at it. The queue stops until this is cleared."),
    _sticky("fence_w_ip", 11, "An IOFENCE.C with WSI has completed."),
)
_FAULT_ERRORS = (
    _sticky("fqmf", 8, "Bus error on a record. Records are dropped until this is cleared."),
    _sticky("fqof", 9, "A record found the queue full, or more came than could wait. Records are dropped until this is cleared."),
)
_PAGE_ERRORS = (
    _sticky("pqmf", 8, "Bus error on a record. Records are dropped until this is cleared."),
    _sticky("pqof", 9, "A record found the queue full. Records are dropped until this is cleared."),
)
_FREE_ERRORS = (_sticky("ffmf", 8, "Bus error; ffh is at the entry. Nothing is read until this is cleared."),)
_RELEASED_ERRORS = (
    _sticky("rfmf", 8, "Bus error on an entry. Entries wait until this is cleared, then are written again."),
    _sticky("full", 9, "An entry waited because the ring was full or off."),
)
_SRCU_ERRORS = (
    _sticky("scmf", 8, "Bus error on an entry. Entries wait until this is cleared, then are written again."),
    _sticky("full", 9, "An entry waited because the ring was full or off."),
    _sticky("refused", 10, "An SRCU.CALL came while as many as can be were pending: its cookie will not come back."),
)

REGISTERS: tuple[Register, ...] = (
    _CAPABILITIES,
    Register(
        name="fctl", offset=0x8, width=32, doc="Features. [IOMMU 5.4]",
        fields=(Field(name="wsi", low=1, access=Access.RO, reset=1, doc="Interrupts by wire."),),
    ),
    _ring_base("cqb", 0x18, "cqcsr", "Command queue"),
    _index("cqh", 0x20, Access.RO, "Command queue head, moved by the engine.", "cqb"),
    _index("cqt", 0x24, Access.RW, "Command queue tail, moved by software.", "cqb"),
    _ring_base("fqb", 0x28, "fqcsr", "Fault queue"),
    _index("fqh", 0x30, Access.RW, "Fault queue head, moved by software.", "fqb"),
    _index("fqt", 0x34, Access.RO, "Fault queue tail, moved by the engine.", "fqb"),
    _ring_base("pqb", 0x38, "pqcsr", "Page-request queue"),
    _index("pqh", 0x40, Access.RW, "Page-request queue head, moved by software.", "pqb"),
    _index("pqt", 0x44, Access.RO, "Page-request queue tail, moved by the engine.", "pqb"),
    _csr("cqcsr", 0x48, "cq", "cie", _COMMAND_ERRORS, "Command queue"),
    _csr("fqcsr", 0x4C, "fq", "fie", _FAULT_ERRORS, "Fault queue"),
    _csr("pqcsr", 0x50, "pq", "pie", _PAGE_ERRORS, "Page-request queue"),
    Register(
        name="ipsr", offset=0x54, width=32, doc="Pending interrupts. [IOMMU 5.18]",
        fields=(
            _sticky("cip", 0, "With cqcsr.cie: an error bit or fence_w_ip of cqcsr is set."),
            _sticky("fip", 1, "With fqcsr.fie: an error bit of fqcsr is set, or a record was written."),
            _sticky("pip", 3, "With pqcsr.pie: an error bit of pqcsr is set, or a record was written."),
            _sticky("ffip", 8, "With ffcsr.ffie: ffmf is set."),
            _sticky("rfip", 9, "With rfcsr.rfie: full or rfmf is set, or an entry was written."),
            _sticky("scip", 10, "With sccsr.scie: full, refused or scmf is set, or an entry was written."),
        ),
    ),
    _ring_base("ffb", 0x2B8, "ffcsr", "Free-frame ring"),
    _index("ffh", 0x2C0, Access.RO, "Free-frame ring head, moved by the engine.", "ffb"),
    _index("fft", 0x2C4, Access.RW, "Free-frame ring tail, moved by software.", "ffb"),
    _ring_base("rfb", 0x2C8, "rfcsr", "Released ring"),
    _index("rfh", 0x2D0, Access.RW, "Released ring head, moved by software.", "rfb"),
    _index("rft", 0x2D4, Access.RO, "Released ring tail, moved by the engine.", "rfb"),
    _csr("ffcsr", 0x2D8, "ff", "ffie", _FREE_ERRORS, "Free-frame ring"),
    _csr("rfcsr", 0x2DC, "rf", "rfie", _RELEASED_ERRORS, "Released ring"),
    Register(
        name="zero_frame", offset=0x2E0, width=64, doc="The shared frame of zeros that read faults map.",
        fields=(Field(name="ppn", low=0, width=44, doc="Its page number. Change it only while no fault runs."),),
    ),
    Register(
        name="control", offset=0x2E8, width=32, doc="How faults are resolved.",
        fields=(
            Field(name="policy", low=0, width=2, doc="0 speculative, 1 VMA lock, 2 mm lock, 3 reserved."),
            Field(name="unzeroed", low=8, doc="The frames of the free-frame ring are not zeroed: the engine zeroes those that it needs so."),
        ),
    ),
    Register(
        name="errors", offset=0x2EC, width=32, doc="Writes that were ignored.",
        fields=(
            _sticky("locked_write", 0, "A base register was written while its queue was on."),
            _sticky("busy_write", 1, "A queue was turned on while it was being turned off."),
        ),
    ),
    Register(
        name="icvec", offset=0x2F8, width=64, doc="Which wire an interrupt drives: fixed. [IOMMU 5.27]",
        fields=(
            Field(name="civ", low=0, width=4, access=Access.RO, reset=0),
            Field(name="fiv", low=4, width=4, access=Access.RO, reset=4),
            Field(name="piv", low=12, width=4, access=Access.RO, reset=1),
        ),
    ),
    _counter("cycles", 0x1000, "Clock cycles since reset."),
    _counter("page_requests_dropped", 0x1008, "Page-request records dropped: queue full, stopped or off, bus error."),
    _counter("released_wait", 0x1010, "Cycles in which an entry waited for room in the released ring."),
    _counter("fault_records_dropped", 0x1018, "Fault records dropped: queue full, stopped or off, bus error, too many at once."),
    _counter("srcu_refused", 0x1020, "SRCU.CALLs that were refused."),
    _counter("faults", 0x1028, "Faults that have ended."),
    _counter("fault_cycles", 0x1030, "Cycles from a fault's first step to its last, as the event port shows them; the sum over all faults."),
    _counter("answers", 0x1100, "Faults by how they were answered: index How; 0: refused. Answers without a fault do not count.", count=len(How)),
    _counter("outcomes", 0x1200, "Aborted attempts by reason: index Outcome.", count=1 << Outcome.as_shape().width),
    _ring_base("scb", 0x1300, "sccsr", "Completion ring"),
    _index("sch", 0x1308, Access.RW, "Completion ring head, moved by software.", "scb"),
    _index("sct", 0x130C, Access.RO, "Completion ring tail, moved by the engine.", "scb"),
    _csr("sccsr", 0x1310, "sc", "scie", _SRCU_ERRORS, "Completion ring"),
)  # fmt: skip
"""All registers, by ascending offset."""
