"""Storage and address decoding of a list of registers, made from their description (`register_map.py`) and from nothing else."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .axi import AXIL_DATA_BITS
from .axi_lite import RegisterAccess
from .register_map import Access, Field, Register

__all__ = ["RegisterFile"]

WORD_BYTES = AXIL_DATA_BITS // 8


def _layout(registers: Sequence[Register], *accesses: Access) -> data.StructLayout:
    """{register: {field: width}} of the fields with one of these accesses."""
    chosen = {
        register.name: data.StructLayout({field.name: field.width for field in register.fields if field.access in accesses})
        for register in registers
        if any(field.access in accesses for field in register.fields)
    }
    return data.StructLayout(chosen)


class RegisterFile(wiring.Component):
    """The registers; struct members are named by register and field.

    Parameters
    ----------
    registers : the description; array registers are only decoded, their values come from outside.

    Members
    -------
    access : from the bus.
    views : the registers as software reads them.
    fields : what software wrote (RW, LOCKED, ENABLE) and the sticky bits.
    hardware : values of the RO fields; those that nobody drives have their reset value.
    set : strobes that set RW1C fields.
    on : by CSR: the queue is on or still busy, so its LOCKED fields may not change.
    locked_write, busy_write : strobes, a write was ignored (see `Access`).
    arrays : by array register: `index` that is read, and its `value` in the same cycle.
    """

    def __init__(self, registers: Sequence[Register]) -> None:
        self.registers = tuple(registers)
        single = [register for register in self.registers if register.count == 1]
        self._array_registers = [register for register in self.registers if register.count > 1]
        stored = (Access.RW, Access.LOCKED, Access.ENABLE, Access.W1C)
        constants = {
            register.name: {field.name: field.reset for field in register.fields if field.access is Access.RO}
            for register in single
            if any(field.access is Access.RO for field in register.fields)
        }
        queues = sorted({register.queue for register in single if register.queue})
        arrays = {
            register.name: Out(wiring.Signature({"index": Out(range(register.count)), "value": In(register.fields[0].width)}))
            for register in self._array_registers
        }
        super().__init__(
            {
                "access": In(RegisterAccess()),
                "views": Out(data.StructLayout({register.name: register.width for register in single})),
                "fields": Out(_layout(single, *stored)),
                "hardware": In(_layout(single, Access.RO), init=constants),
                "set": In(_layout(single, Access.W1C)),
                "on": In(data.StructLayout(dict.fromkeys(queues, 1))),
                "locked_write": Out(1),
                "busy_write": Out(1),
                "arrays": Out(wiring.Signature(arrays)),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        self._ignored_locked: list[Value] = []
        self._ignored_busy: list[Value] = []
        with m.Switch(self.access.read_address[2:]):
            for register in self.registers:
                view = self._array(m, register) if register.count > 1 else self._view(m, register, self._storage(m, register))
                for word in range(register.width // AXIL_DATA_BITS):
                    first = register.offset // WORD_BYTES + word
                    step = register.width // AXIL_DATA_BITS
                    with m.Case(*range(first, first + step * register.count, step)):
                        m.d.comb += self.access.read_data.eq(view.word_select(word, AXIL_DATA_BITS))
        m.d.comb += [
            self.locked_write.eq(Cat(self._ignored_locked).any()),
            self.busy_write.eq(Cat(self._ignored_busy).any()),
        ]
        return m

    def _array(self, m: Module, register: Register) -> Value:
        """The value of the element that is read, as wide as the register."""
        port = getattr(self.arrays, register.name)
        address = self.access.read_address
        element = (address - register.offset)[: len(address)] // (register.width // 8)
        m.d.comb += port.index.eq(element)
        return port.value | Const(0, register.width)

    def _view(self, m: Module, register: Register, stored: dict[str, Value]) -> Value:
        """All bits of the register as software reads them."""
        parts: list[Value] = []
        position = 0
        for field in sorted(register.fields, key=lambda field: field.low):
            value = stored.get(field.name)
            parts += [Const(0, field.low - position), self.hardware[register.name][field.name] if value is None else value]
            position = field.low + field.width
        m.d.comb += self.views[register.name].eq(Cat(*parts, Const(0, register.width - position)))
        return self.views[register.name]

    def _storage(self, m: Module, register: Register) -> dict[str, Value]:
        """The register's stored fields; drives `fields`."""
        mask, written = self._write(m, register)
        enabling = Const(0)
        values: dict[str, Value] = {}
        # the enable bit first: it clears the sticky ones
        for field in sorted(register.fields, key=lambda field: field.access is not Access.ENABLE):
            if field.access is Access.RO:
                continue
            value = Signal(field.width, name=f"{register.name}_{field.name}", init=field.reset)
            bits = mask[field.low : field.low + field.width]
            new = written[field.low : field.low + field.width]
            merged = (value & ~bits) | (new & bits)
            if field.access is Access.RW:
                m.d.sync += value.eq(merged)
            elif field.access is Access.LOCKED:
                m.d.sync += value.eq(Mux(self.on[register.queue], value, merged))
                self._ignored_locked.append(self.on[register.queue] & bits.any())
            elif field.access is Access.ENABLE:
                rising = bits & new & ~value
                enabling = rising & ~self.on[register.queue]
                m.d.sync += value.eq(Mux(rising & self.on[register.queue], value, merged))
                self._ignored_busy.append(rising & self.on[register.queue])
            else:
                kept = Mux(enabling, 0, value & ~(bits & new))
                m.d.sync += value.eq(kept | self.set[register.name][field.name])
            values[field.name] = self._reduced(value, field)
            m.d.comb += self.fields[register.name][field.name].eq(values[field.name])
        return values

    def _reduced(self, value: Value, field: Field) -> Value:
        """An index modulo its ring's size."""
        if field.modulo is None:
            return value
        entries = Const(2, field.width + 1) << self.fields[field.modulo].log2sz_minus_1
        return value & (entries - 1)[: field.width]

    def _write(self, m: Module, register: Register) -> tuple[Signal, Value]:
        """Bits of the register that are written in this cycle, and the data on all its words."""
        mask = Signal(register.width, name=f"{register.name}_mask")
        strobes = Cat(strobe.replicate(8) for strobe in self.access.write_strobe)
        words = register.width // AXIL_DATA_BITS
        for word in range(words):
            hit = self.access.write & (self.access.write_address[2:] == register.offset // WORD_BYTES + word)
            m.d.comb += mask.word_select(word, AXIL_DATA_BITS).eq(Mux(hit, strobes, 0))
        return mask, self.access.write_data.replicate(words)
