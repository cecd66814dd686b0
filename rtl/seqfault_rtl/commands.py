"""Commands of the command queue: their words, bit by bit. [docs/software-contract.md, Command queue; IOMMU 4.1]"""

from amaranth.lib import data, enum

from .config import PADDR_BITS
from .paging import VPN_BITS, PagingMode

__all__ = [
    "ADDRESS_PAGE_BITS",
    "AGENT",
    "ALL_SPACES",
    "Command",
    "CommandHeader",
    "CommandKind",
    "CommandResult",
    "CustomWord",
    "FenceAddress",
    "FenceWord",
    "Function",
    "InvalidateAddress",
    "InvalidateWord",
    "Opcode",
    "PageResponseWord0",
    "PageResponseWord1",
    "Rights",
    "SatpWord",
    "SequenceWord",
    "SweepTask",
    "SweepWord",
]  # fmt: skip

AGENT = 63
"""The command unit's number in events."""
ALL_SPACES = 0xFFFF
"""Space field of the INVALIDATE event when PSCV is 0."""
ADDRESS_PAGE_BITS = 52
"""VA[63:12]."""


class Opcode(enum.Enum, shape=7):
    """IOTINVAL, IOFENCE and ATS of the RISC-V IOMMU; 64 and up are custom."""

    IOTINVAL = 1
    IOFENCE = 2
    ATS = 4
    SEQUENCE = 64
    SWEEP = 65
    MM = 66
    SPACE = 67
    SRCU = 68


class Function(enum.Enum, shape=3):
    """func3: the first (VMA, C, BEGIN, ZAP, LOCK, TABLE, CALL) and the second command (PRGR, END, PROTECT, UNLOCK, VMAS) of an opcode."""

    FIRST = 0
    SECOND = 1


class CommandKind(enum.Enum, shape=4):
    """The commands that the engine knows."""

    ILLEGAL = 0
    INVALIDATE = 1
    FENCE = 2
    SEQ_BEGIN = 3
    SEQ_END = 4
    ZAP = 5
    PROTECT = 6
    MM_LOCK = 7
    MM_UNLOCK = 8
    SPACE_TABLE = 9
    SPACE_VMAS = 10
    SRCU_CALL = 11
    PAGE_RESPONSE = 12


class CommandResult(enum.Enum, shape=2):
    """How a command ended."""

    OK = 0
    ILLEGAL = 1
    MEMORY_FAULT = 2


class Command(data.Struct):
    """A command as it is in memory."""

    word0: 64
    word1: 64


class CommandHeader(data.Struct):
    """What word 0 of every command begins with."""

    opcode: 7
    func3: 3
    operands: 54


class InvalidateWord(data.Struct):
    """Word 0 of IOTINVAL.VMA. The guest fields (GV, GSCID) are not built: reserved."""

    opcode: 7
    func3: 3
    av: 1
    reserved_11: 1
    pscid: 20
    pscv: 1
    reserved_33: 31


class InvalidateAddress(data.Struct):
    """Word 1 of IOTINVAL.VMA."""

    reserved_0: 9
    s: 1
    page: ADDRESS_PAGE_BITS
    reserved_62: 2


class FenceWord(data.Struct):
    """Word 0 of IOFENCE.C."""

    opcode: 7
    func3: 3
    av: 1
    wsi: 1
    pr: 1
    pw: 1
    reserved_14: 18
    data: 32


class FenceAddress(data.Struct):
    """Word 1 of IOFENCE.C: a physical address from its bit 2 on. `half` set: not aligned to 8 bytes."""

    half: 1
    double_word: PADDR_BITS - 3
    reserved: 64 - PADDR_BITS + 2


class PageResponseWord0(data.Struct):
    """Word 0 of ATS.PRGR; `rid` is the requester port. The fields of PCIe segments (DSV, DSEG) are not built: reserved. [IOMMU 4.1.4]"""

    opcode: 7
    func3: 3
    reserved_10: 2
    pid: 20
    pv: 1
    reserved_33: 7
    rid: 16
    reserved_56: 8


class PageResponseWord1(data.Struct):
    """Word 1 of ATS.PRGR: which page request is answered, and how."""

    reserved_0: 32
    prgi: 9
    reserved_41: 3
    code: 4
    reserved_48: 16


class Rights(data.Struct):
    """Options of PROTECT."""

    r: 1
    w: 1
    x: 1


class CustomWord(data.Struct):
    """Word 0 of the custom commands; `options`: R W X of PROTECT, ADUE PBMTE NAPOT of SPACE.TABLE.

    They, `share` (PROTECT) and `count` (pages; PROTECT, ZAP) are 0 elsewhere.
    """

    opcode: 7
    func3: 3
    reserved_10: 2
    space: 16
    options: 3
    share: 1
    count: 32


class SequenceWord(data.Struct):
    """Word 1 of SEQ.BEGIN and SEQ.END."""

    id: 16
    reserved: 48


class SweepWord(data.Struct):
    """Word 1 of ZAP and PROTECT: the first page, sign-extended from what its mode translates; others are malformed."""

    vpn: VPN_BITS
    reserved: 64 - VPN_BITS


class SatpWord(data.Struct):
    """Word 1 of SPACE.TABLE."""

    ppn: 44
    reserved: 16
    mode: 4


class SweepTask(data.Struct):
    """What ZAP or PROTECT is to do: `count` pages of `space` from page `vpn` on; `mode` is the space's. `share`: PROTECT clears EXCLUSIVE."""

    protect: 1
    share: 1
    mode: PagingMode
    space: 16
    rights: Rights
    vpn: VPN_BITS
    count: 32
