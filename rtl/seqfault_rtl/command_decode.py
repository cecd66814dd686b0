"""What a command means, and whether it is well formed. [docs/software-contract.md, Command queue]"""

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .commands import (
    SV39_HALF_BITS,
    Command,
    CommandHeader,
    CommandKind,
    CustomWord,
    FenceAddress,
    FenceWord,
    Function,
    InvalidateAddress,
    InvalidateWord,
    Opcode,
    SatpWord,
    SequenceWord,
    SweepWord,
)
from .config import EngineConfig
from .paging import PagingMode

__all__ = ["CommandDecode"]


class CommandDecode(wiring.Component):
    """Combinational decoder. Reserved bits that are not 0 make a command ILLEGAL, and so does a space that is not there.

    Parameters
    ----------
    config : `spaces`.

    Members
    -------
    command : what was read. mm_held : software holds the mm lock of `space`. sv39 : the mode of `space`.
    space : the space of the command, 0 where it has none. kind : the command, or ILLEGAL.
    """

    command: In(Command)
    mm_held: In(1)
    sv39: In(1)
    space: Out(16)
    kind: Out(CommandKind)

    def __init__(self, config: EngineConfig) -> None:
        self._spaces = config.spaces
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = CommandHeader(self.command.word0)
        for opcode, function, kind, legal in self._commands(m):
            with m.If((header.opcode == opcode.value) & (header.func3 == function.value) & legal):
                m.d.comb += self.kind.eq(kind)
        with m.If(header.opcode == Opcode.IOTINVAL.value):
            m.d.comb += self.space.eq(InvalidateWord(self.command.word0).pscid)
        with m.Elif(header.opcode != Opcode.IOFENCE.value):
            m.d.comb += self.space.eq(CustomWord(self.command.word0).space)
        return m

    def _commands(self, m: Module) -> list[tuple[Opcode, Function, CommandKind, Value]]:
        """Per command: its code, and that its operands are well formed."""
        word0, word1 = self.command.word0, self.command.word1
        custom, sequence, satp = CustomWord(word0), SequenceWord(word1), SatpWord(word1)
        rights = custom.rights
        named, plain, unused, moded = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            named.eq((custom.space < self._spaces) & ~custom.reserved_10.any() & ~custom.reserved_31),
            plain.eq(named & ~custom.count.any() & ~rights.as_value().any()),
            unused.eq(~word1.any()),
        ]
        for mode in PagingMode:
            with m.If(satp.mode == mode.value):
                m.d.comb += moded.eq(~satp.reserved.any())
        held = self.mm_held
        sweep = SweepWord(word1)
        sign = sweep.vpn[SV39_HALF_BITS:]
        swept = named & held & ~sweep.reserved.any() & (~self.sv39 | ~sign.any() | sign.all())
        useful = rights.as_value().any() & ~(rights.w & ~rights.r)
        bracket = plain & held & ~sequence.reserved.any()
        first, second = Function.FIRST, Function.SECOND
        return [
            (Opcode.IOTINVAL, first, CommandKind.INVALIDATE, self._invalidate_legal()),
            (Opcode.IOFENCE, first, CommandKind.FENCE, self._fence_legal()),
            (Opcode.SEQUENCE, first, CommandKind.SEQ_BEGIN, bracket),
            (Opcode.SEQUENCE, second, CommandKind.SEQ_END, bracket),
            (Opcode.SWEEP, first, CommandKind.ZAP, swept & ~rights.as_value().any()),
            (Opcode.SWEEP, second, CommandKind.PROTECT, swept & useful),
            (Opcode.MM, first, CommandKind.MM_LOCK, plain & unused & ~held),
            (Opcode.MM, second, CommandKind.MM_UNLOCK, plain & unused & held),
            (Opcode.SPACE, first, CommandKind.SPACE_TABLE, plain & moded),
            (Opcode.SPACE, second, CommandKind.SPACE_VMAS, plain),
        ]

    def _invalidate_legal(self) -> Value:
        word, address = InvalidateWord(self.command.word0), InvalidateAddress(self.command.word1)
        reserved = word.reserved_11 | word.reserved_33.any() | address.reserved_0.any() | address.reserved_62.any()
        return ~reserved & (~word.pscv | (word.pscid < self._spaces))

    def _fence_legal(self) -> Value:
        word, address = FenceWord(self.command.word0), FenceAddress(self.command.word1)
        return ~word.reserved_14.any() & (~word.av | ~(address.half | address.reserved.any()))
