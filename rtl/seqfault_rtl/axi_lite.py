"""AXI4-Lite subordinate: turns bus transfers into single-cycle register accesses.

AW and W may come in any order and at any distance; a write takes effect once, when both are here and the previous answer has gone. All
answers are OKAY. Reads and writes do not wait for each other. [AMBA AXI B1]
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import AXIL_ADDRESS_BITS, AXIL_DATA_BITS, AxiLiteSignature, AxiResponse

__all__ = ["AxiLiteSubordinate", "RegisterAccess"]


class RegisterAccess(wiring.Signature):
    """Accesses to a register file that is always ready, seen from the bus side.

    Members
    -------
    write, write_address, write_data, write_strobe : in the cycle of `write`, the bytes of `write_data` whose strobe is set are written.
    read_address, read_data : `read_data` answers `read_address` in the same cycle; reads have no side effects.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "write": Out(1), "write_address": Out(AXIL_ADDRESS_BITS), "write_data": Out(AXIL_DATA_BITS),
                "write_strobe": Out(AXIL_DATA_BITS // 8),
                "read_address": Out(AXIL_ADDRESS_BITS), "read_data": In(AXIL_DATA_BITS),
            }
        )  # fmt: skip


class AxiLiteSubordinate(wiring.Component):
    """One write and one read at a time; registered outputs.

    Members
    -------
    bus : AXI4-Lite.
    registers : the register file.
    """

    bus: In(AxiLiteSignature())
    registers: Out(RegisterAccess())

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        self._writes(m)
        self._reads(m)
        return m

    def _writes(self, m: Module) -> None:
        bus, registers = self.bus, self.registers
        have_address = Signal()
        have_data = Signal()
        m.d.comb += [
            bus.awready.eq(~have_address),
            bus.wready.eq(~have_data),
            bus.bresp.eq(AxiResponse.OKAY),
            registers.write.eq(have_address & have_data & ~bus.bvalid),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [have_address.eq(1), registers.write_address.eq(bus.awaddr)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [have_data.eq(1), registers.write_data.eq(bus.wdata), registers.write_strobe.eq(bus.wstrb)]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(registers.write):
            m.d.sync += [bus.bvalid.eq(1), have_address.eq(0), have_data.eq(0)]

    def _reads(self, m: Module) -> None:
        bus, registers = self.bus, self.registers
        have_address = Signal()
        m.d.comb += [bus.arready.eq(~have_address), bus.rresp.eq(AxiResponse.OKAY)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [have_address.eq(1), registers.read_address.eq(bus.araddr)]
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(have_address & ~bus.rvalid):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(registers.read_data), have_address.eq(0)]
