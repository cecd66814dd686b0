"""The Translator's walks: requests under way, and what the end of each means."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .config import EngineConfig
from .messages import AnswerStatus, FaultAnswer, FaultRequest, FillRecord, Outcome, WalkOutcome, WalkRequest, WalkResponse
from .miss_records import PAGE_OFFSET_BITS, PortRequest, compose_answer, compose_fault, compose_refusal
from .paging import VPN_BITS

__all__ = ["MissWalks"]


class MissWalks(wiring.Component):
    """Walks for misses, at most `config.walks` at a time.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    requests : misses to walk for.
    walk_request, walk_response : the walker. A response waits for the stream that it leads to, `answers` or `faults`.
    answers : OK for a leaf that permits the access, whether stale or not (the request is older than the invalidation); FAULT with reason
        BUS_ERROR or BAD_TABLE.
    faults : a leaf without the right, no leaf, a malformed entry.
    fill, fill_port, fill_record : strobe: the permitting leaf, unless stale. Given in the cycle in which the response is taken, so that
        its `stale` covers every invalidation before the TLB sees both.
    """

    requests: In(stream.Signature(PortRequest))
    walk_request: Out(stream.Signature(WalkRequest))
    walk_response: In(stream.Signature(WalkResponse))
    answers: Out(stream.Signature(FaultAnswer))
    faults: Out(stream.Signature(FaultRequest))
    fill: Out(1)
    fill_port: Out(8)
    fill_record: Out(FillRecord)

    def __init__(self, config: EngineConfig) -> None:
        self._walks = config.walks
        self._tag_bits = ceil_log2(config.walks)
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.asked = memory = Memory(shape=PortRequest, depth=self._walks, init=[])
        busy = Signal(self._walks)
        with m.If(self.walk_response.valid & self.walk_response.ready):
            m.d.sync += busy.bit_select(self.walk_response.payload.tag[: self._tag_bits], 1).eq(0)
        self._ask(m, memory, busy)
        self._decide(m, memory)
        return m

    def _ask(self, m: Module, memory: Memory, busy: Signal) -> None:
        """A request takes a free tag and goes to the walker through a register."""
        tag, walk, request = Signal(self._tag_bits), self.walk_request, self.requests.payload.request
        for index in reversed(range(self._walks)):
            with m.If(~busy[index]):
                m.d.comb += tag.eq(index)
        port = memory.write_port()
        taken = self.requests.valid & self.requests.ready
        m.d.comb += [
            self.requests.ready.eq((~walk.valid | walk.ready) & ~busy.all()),
            port.en.eq(taken),
            port.addr.eq(tag),
            port.data.eq(self.requests.payload),
        ]
        with m.If(walk.ready):
            m.d.sync += walk.valid.eq(0)
        with m.If(taken):
            m.d.sync += [
                busy.bit_select(tag, 1).eq(1),
                walk.valid.eq(1),
                walk.payload.tag.eq(tag),
                walk.payload.space.eq(request.space),
                walk.payload.vpn.eq(request.va[PAGE_OFFSET_BITS:][:VPN_BITS]),
            ]

    def _decide(self, m: Module, memory: Memory) -> None:
        response, ended = self.walk_response, self.walk_response.payload
        read = memory.read_port(domain="comb")
        asked, request, answer = read.data, read.data.request, self.answers.payload
        permitted = (ended.outcome == WalkOutcome.LEAF) & ended.pte.permits(request.access)
        m.d.comb += [read.addr.eq(ended.tag[: self._tag_bits]), answer.port.eq(asked.port), *compose_fault(self.faults.payload, asked)]
        answered = Signal()
        with m.If(permitted):
            pa = ended.pte.translate(request.va, ended.level)
            m.d.comb += [answered.eq(1), *compose_answer(answer.answer, request, status=AnswerStatus.OK, reason=Outcome.OK, pa=pa)]
        with m.Elif(ended.outcome == WalkOutcome.BUS_ERROR):
            m.d.comb += [answered.eq(1), *compose_refusal(answer, asked, Outcome.BUS_ERROR)]
        with m.Elif(ended.outcome == WalkOutcome.NO_SPACE):
            m.d.comb += [answered.eq(1), *compose_refusal(answer, asked, Outcome.BAD_TABLE)]
        m.d.comb += [
            self.answers.valid.eq(response.valid & answered),
            self.faults.valid.eq(response.valid & ~answered),
            self.fill.eq(response.valid & response.ready & permitted & ~ended.stale),
            self.fill_port.eq(asked.port),
            self.fill_record.space.eq(request.space),
            self.fill_record.vpn.eq(request.va[PAGE_OFFSET_BITS:][:VPN_BITS]),
            self.fill_record.level.eq(ended.level),
            self.fill_record.pte.eq(ended.pte),
        ]
        with m.If(answered):
            m.d.comb += response.ready.eq(self.answers.ready)
        with m.Else():
            m.d.comb += response.ready.eq(self.faults.ready)
