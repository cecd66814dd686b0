"""What a command means, and whether it is well formed. [docs/software-contract.md, Command queue]"""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .commands import (
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
    PageResponseWord0,
    PageResponseWord1,
    Rights,
    SatpWord,
    SequenceWord,
    SweepWord,
)
from .config import EngineConfig
from .paging import PagingMode, is_canonical
from .space_table import SpaceFeatures

__all__ = ["CommandDecode"]


class CommandDecode(wiring.Component):
    """Combinational decoder. Reserved bits that are not 0 make a command ILLEGAL, and so does a space that is not there.

    Parameters
    ----------
    config : `spaces`, `ports`.

    Members
    -------
    command : what was read. mm_held : software holds the mm lock of `space`. mode : that of `space`.
    space : the space of the command, 0 where it has none. kind : the command, or ILLEGAL.
    """

    command: In(Command)
    mm_held: In(1)
    mode: In(PagingMode)
    space: Out(16)
    kind: Out(CommandKind)

    def __init__(self, config: EngineConfig) -> None:
        self._config, self._spaces = config, config.spaces
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = CommandHeader(self.command.word0)
        for opcode, function, kind, legal in self._commands(m):
            with m.If((header.opcode == opcode.value) & (header.func3 == function.value) & legal):
                m.d.comb += self.kind.eq(kind)
        with m.If(header.opcode == Opcode.IOTINVAL.value):
            m.d.comb += self.space.eq(InvalidateWord(self.command.word0).pscid)
        with m.Elif(header.opcode == Opcode.ATS.value):
            m.d.comb += self.space.eq(PageResponseWord0(self.command.word0).pid)
        with m.Elif(header.opcode != Opcode.IOFENCE.value):
            m.d.comb += self.space.eq(CustomWord(self.command.word0).space)
        return m

    def _commands(self, m: Module) -> list[tuple[Opcode, Function, CommandKind, Value]]:
        """Per command: its code, and that its operands are well formed."""
        word0, word1 = self.command.word0, self.command.word1
        custom, sequence, satp = CustomWord(word0), SequenceWord(word1), SatpWord(word1)
        options, rights = custom.options, Rights(custom.options)
        named, plain, unused, moded = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            named.eq((custom.space < self._spaces) & ~custom.reserved_10.any()),
            plain.eq(named & ~custom.count.any() & ~options.any() & ~custom.share),
            unused.eq(~word1.any()),
        ]
        for mode in ("BARE", *self._config.modes):
            with m.If(satp.mode == PagingMode[mode].value):
                m.d.comb += moded.eq(~satp.reserved.any())
        featured = named & ~custom.count.any() & ~custom.share & (~SpaceFeatures(options).adue | self._config.svadu)
        held = self.mm_held
        sweep = SweepWord(word1)
        swept = named & held & ~sweep.reserved.any() & self._is_canonical(m, sweep.vpn)
        useful = options.any() & ~(rights.w & ~rights.r)
        bracket = plain & held & ~sequence.reserved.any()
        first, second = Function.FIRST, Function.SECOND
        return [
            (Opcode.IOTINVAL, first, CommandKind.INVALIDATE, self._invalidate_legal()),
            (Opcode.IOFENCE, first, CommandKind.FENCE, self._fence_legal()),
            (Opcode.ATS, second, CommandKind.PAGE_RESPONSE, self._response_legal()),
            (Opcode.SEQUENCE, first, CommandKind.SEQ_BEGIN, bracket),
            (Opcode.SEQUENCE, second, CommandKind.SEQ_END, bracket),
            (Opcode.SWEEP, first, CommandKind.ZAP, swept & ~options.any() & ~custom.share),
            (Opcode.SWEEP, second, CommandKind.PROTECT, swept & useful),
            (Opcode.MM, first, CommandKind.MM_LOCK, plain & unused & ~held),
            (Opcode.MM, second, CommandKind.MM_UNLOCK, plain & unused & held),
            (Opcode.SPACE, first, CommandKind.SPACE_TABLE, featured & moded),
            (Opcode.SPACE, second, CommandKind.SPACE_VMAS, plain),
            (Opcode.SRCU, first, CommandKind.SRCU_CALL, plain),
        ]

    def _is_canonical(self, m: Module, vpn: Value) -> Signal:
        """The page is one of the space; entries of Sv32 are not swept."""
        canonical = Signal(init=1)
        for name in self._config.modes:
            with m.If(self.mode == PagingMode[name]):
                m.d.comb += canonical.eq(is_canonical(vpn, PagingMode[name]) if name != "SV32" else 0)
        return canonical

    def _invalidate_legal(self) -> Value:
        word, address = InvalidateWord(self.command.word0), InvalidateAddress(self.command.word1)
        reserved = word.reserved_11 | word.reserved_33.any() | address.reserved_0.any() | address.reserved_62.any()
        return ~reserved & (~word.pscv | (word.pscid < self._spaces))

    def _fence_legal(self) -> Value:
        word, address = FenceWord(self.command.word0), FenceAddress(self.command.word1)
        return ~word.reserved_14.any() & (~word.av | ~(address.half | address.reserved.any()))

    def _response_legal(self) -> Value:
        """The requester is a port that is built. Its response code is for it to understand."""
        word, response = PageResponseWord0(self.command.word0), PageResponseWord1(self.command.word1)
        reserved = (word.reserved_10, word.reserved_33, word.reserved_56, response.reserved_0, response.reserved_41, response.reserved_48)
        return word.pv & (word.pid < self._spaces) & (word.rid < self._config.ports) & ~Cat(*reserved).any()
