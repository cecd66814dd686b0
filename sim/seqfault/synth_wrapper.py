"""A component for synthesis on its own: every pin has a register, and the package needs four pins whatever the component has."""

from functools import reduce
from operator import xor

from amaranth import Cat, ClockDomain, ClockSignal, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DUT", "PinWrapper", "pins"]

DUT = "dut"
"""Instance name of the component in its wrapper."""
FOLD = 3
"""Pins folded into one bit a cycle: with the bit before they make one LUT4."""


def pins(component: wiring.Component, *, leave_out: tuple[str, ...] = ()) -> tuple[dict[str, Value], dict[str, Value]]:
    """All that goes into a component and all that comes out of it, by name, members in the order of its signature, without `leave_out`."""
    ways: dict[wiring.Flow, dict[str, Value]] = {In: {}, Out: {}}
    for path, member, value in component.signature.flatten(component):
        if path[0] not in leave_out:
            ways[member.flow]["_".join(map(str, path))] = Value.cast(value)
    return ways[In], ways[Out]


class PinWrapper(wiring.Component):
    """Registers on all pins of a component, reset included, so that every path through it begins and ends in a register.

    Inputs come from a shift register, one stage per pin. Outputs are captured, one register per pin, and folded by XOR into a second
    shift register; so no pin is constant or unused for the tools.

    Parameters
    ----------
    component : what is measured; becomes the submodule `dut`. Its clock domain is "sync".
    leave_out : members of its interface that stay unconnected.

    Members
    -------
    clk : clock of everything. rst : reset of the component, a cycle late. scan : first bit of the input shift register.
    fold : last bit of the output shift register.
    """

    def __init__(self, component: wiring.Component, *, leave_out: tuple[str, ...] = ()) -> None:
        self._component = component
        self._leave_out = leave_out
        super().__init__({"clk": In(1), "rst": In(1), "scan": In(1), "fold": Out(1)})

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.domains += [ClockDomain("sync"), ClockDomain("pins", reset_less=True)]
        m.submodules[DUT] = self._component
        inputs, outputs = pins(self._component, leave_out=self._leave_out)
        reset = Signal()
        m.d.comb += [ClockSignal("sync").eq(self.clk), ClockSignal("pins").eq(self.clk), ResetSignal("sync").eq(reset)]
        m.d.pins += reset.eq(self.rst)
        self._shift_in(m, inputs)
        self._fold_out(m, outputs)
        return m

    def _shift_in(self, m: Module, inputs: dict[str, Value]) -> None:
        registers = {name: Signal(len(value), name=name) for name, value in inputs.items()}
        m.d.comb += [value.eq(registers[name]) for name, value in inputs.items()]
        chain = Cat(registers.values())
        m.d.pins += chain.eq(Cat(self.scan, chain))

    def _fold_out(self, m: Module, outputs: dict[str, Value]) -> None:
        registers = {name: Signal(len(value), name=name) for name, value in outputs.items()}
        m.d.pins += [registers[name].eq(value) for name, value in outputs.items()]
        chain = Cat(registers.values())
        groups = [chain[first : first + FOLD] for first in range(0, len(chain), FOLD)]
        folded = Signal(max(1, len(groups)))
        before = Cat(0, folded)
        m.d.pins += [folded[index].eq(reduce(xor, group, before[index])) for index, group in enumerate(groups)]
        m.d.comb += self.fold.eq(folded[-1])
