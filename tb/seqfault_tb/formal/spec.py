"""The frame of a specification: a block in an environment that does anything its contract allows, and promises about what it does."""

import sys
from types import FrameType
from typing import Any

from amaranth import ClockDomain, Module, Shape, Signal, Value
from amaranth.hdl import Assert, Assume, Elaboratable
from amaranth.hdl._ast import AnyConst, AnySeq
from amaranth.lib import wiring

__all__ = ["LEMMA", "PROMISE", "Inside", "Spec", "any_const", "any_each_cycle", "drive", "havoc", "is_range", "opened", "unplug"]

PROMISE = "promise_"
"""Prefix of the signals that say whether a promise holds; a counter-example names those that do not."""
LEMMA = "lemma_"
"""Prefix of the signals of lemmas: true of the block, said only for the induction's sake."""
KEEP = {"keep": 1}
"""Yosys keeps the name of the signal, for counter-examples; the others go with what they do not contribute to."""


class Spec(Elaboratable):
    """A block and what is promised of it. Every subclass states in its docstring, in one sentence first, what it proves.

    The clock domain has no reset: the first cycle is the one after a reset, and there is no other.

    Parameters
    ----------
    dut : the block.
    lemmas : say the lemmas too. A planted bug has to break a promise, so there they are left out.
    """

    def __init__(self, dut: wiring.Component, *, lemmas: bool = True) -> None:
        self.dut = dut
        self._lemmas = lemmas
        self.domain = ClockDomain("sync", reset_less=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = self.domain
        m.submodules.dut = self.dut
        self.specify(m)
        return m

    def specify(self, m: Module) -> None:
        """Drive the inputs of the block, and make promises."""
        raise NotImplementedError

    def assume(self, m: Module, condition: Value) -> None:
        """The environment keeps to this in every cycle."""
        m.d.comb += Assume(condition)

    def promise(self, m: Module, name: str, condition: Value) -> None:
        """What is proved: it holds in every cycle."""
        self._check(m, PROMISE + name, condition)

    def lemma(self, m: Module, name: str, condition: Value) -> None:
        """What the induction needs besides, proved with it."""
        if self._lemmas:
            self._check(m, LEMMA + name, condition)

    def _check(self, m: Module, name: str, condition: Value) -> None:
        holds = Signal(name=name, attrs=KEEP)
        m.d.comb += [holds.eq(Value.cast(condition).any()), Assert(holds)]


def any_const(m: Module, shape: Any, name: str) -> Any:
    """A value chosen once, for good, by whoever looks for a counter-example."""
    return _chosen(m, shape, name, AnyConst)


def any_each_cycle(m: Module, shape: Any, name: str) -> Any:
    """A value chosen anew in every cycle."""
    return _chosen(m, shape, name, AnySeq)


def _chosen(m: Module, shape: Any, name: str, kind: Any) -> Any:
    chosen = Signal(shape, name=name, attrs=KEEP)
    width = Shape.cast(shape).width
    if width:
        m.d.comb += Value.cast(chosen).eq(kind(width))
    return chosen


def drive(m: Module, component: wiring.Component, *, but: tuple[str, ...] = ()) -> None:
    """Every input of `component`, nested ones too, takes any value in every cycle; not the members named in `but`."""
    for path, member, value in component.signature.flatten(component):
        if member.flow is wiring.In and path[0] not in but:
            port = Value.cast(value)
            if len(port):
                port.attrs.update(KEEP)
                m.d.comb += port.eq(AnySeq(len(port)))


def is_range(mask: Value) -> Value:
    """The ones of a mask are its lowest bits: a NAPOT range, or nothing."""
    return ~(mask[1:] & ~mask[:-1]).any()


def opened(component: wiring.Component) -> "Inside":
    """A block elaborated once: what is added to its module, or read of it, is in the design."""
    if hasattr(component, "_opened"):
        return component._opened
    calls: dict[str, list[dict[str, Any]]] = {}

    def note(frame: FrameType, event: str, result: Any) -> None:
        if event == "return" and frame.f_locals.get("self") is component:
            calls.setdefault(frame.f_code.co_name, []).append(dict(frame.f_locals))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        module = component.elaborate(None)
    finally:
        sys.setprofile(before)
    component.elaborate = lambda platform: module
    component._opened = Inside(module, calls)
    return component._opened


class Inside:
    """The inside of an opened block, for lemmas about state that has no port.

    Members
    -------
    module : its module.
    """

    def __init__(self, module: Module, calls: dict[str, list[dict[str, Any]]]) -> None:
        self.module = module
        self._calls = calls

    def local(self, method: str, *names: str, call: int = 0) -> Any:
        """Local variables of a method that elaboration called, as they were when it returned from that call (counted from 0).

        Raises `KeyError` when there is no such variable: the lemma has to follow the block.
        """
        values = [self._calls[method][call][name] for name in names]
        return values if len(values) > 1 else values[0]

    def named(self, name: str) -> Any:
        """A signal that the block drives, by its name. Raises `KeyError` when there is none."""
        for signal in self.module._driving:
            if signal.name == name:
                return signal
        raise KeyError(f"the block drives no signal {name!r}")

    def block(self, name: str) -> Any:
        """A submodule."""
        return self.module.submodules[name]

    def queue(self, m: Module, name: str, places: int) -> list[tuple[Value, Any]]:
        """What waits in a `SyncFIFO` of `places` places, oldest first: whether the place is in use, and what is in it."""
        fifo = self.block(name)
        inside = opened(fifo)
        consume = inside.local("elaborate", "consume")
        return [(fifo.level > place, inside.row(m, "storage", (consume + place) % places)) for place in range(places)]

    def row(self, m: Module, memory: str, address: Value) -> Any:
        """What a memory holds at `address` now."""
        port = self.block(memory).read_port(domain="comb")
        m.d.comb += port.addr.eq(address)
        return port.data


def havoc(component: wiring.Component) -> Module:
    """Put in the place of a block one of the same interface whose outputs are any values in every cycle: what holds with it holds with all."""
    module = Module()
    for _path, member, value in component.signature.flatten(component):
        if member.flow is wiring.Out and len(Value.cast(value)):
            module.d.comb += Value.cast(value).eq(AnySeq(len(Value.cast(value))))
    component.elaborate = lambda platform: module
    return module


def unplug(component: wiring.Component, port: str) -> None:
    """A planted bug: the block, connected but not elaborated yet, does not hear this input; it is 0."""
    setattr(component, port, Signal.like(getattr(component, port), name=f"unplugged_{port}"))
