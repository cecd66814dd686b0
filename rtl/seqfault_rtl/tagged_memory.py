"""A word for each of a number of things in flight, that are told apart by a tag."""

from amaranth import Module, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import memory

__all__ = ["tagged_memory"]


def tagged_memory(m: Module, name: str, shape: ShapeLike, depth: int, tag: Value) -> tuple[memory.WritePort, Value]:
    """A submodule `name` with `depth` words of `shape`: its write port, and the word of `tag` now."""
    m.submodules[name] = storage = memory.Memory(shape=shape, depth=depth, init=[])
    read = storage.read_port(domain="comb")
    m.d.comb += read.addr.eq(tag)
    return storage.write_port(), read.data
