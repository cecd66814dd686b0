"""The mm locks: per space one writer (software, by MM.LOCK) or many readers (faults that gave up speculating)."""

from amaranth import Module
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig

__all__ = ["MmLocks"]


class MmLock(data.Struct):
    """`writer` holds it, or `readers` faults do."""

    writer: 1
    readers: 7


class MmLocks(wiring.Component):
    """Reader-writer locks of all spaces; writers come first, so that software waits for the running readers only.

    Members
    -------
    read_space, may_read : combinational: no writer holds or claims the lock of this space.
    read_acquire, read_release : strobes on `read_space`.
    write_space, claim : level: the command unit wants the lock of this space as the writer.
    free : nobody holds the lock of `write_space`. held : a writer holds it.
    write_acquire, write_release : strobes on `write_space`.
    The step slot executes one step a cycle, so at most one strobe is high in a cycle.
    """

    read_space: In(16)
    may_read: Out(1)
    read_acquire: In(1)
    read_release: In(1)
    write_space: In(16)
    claim: In(1)
    free: Out(1)
    held: Out(1)
    write_acquire: In(1)
    write_release: In(1)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.locks = locks = memory.Memory(shape=MmLock, depth=self._config.spaces, init=[])
        reader, writer, write = locks.read_port(domain="comb"), locks.read_port(domain="comb"), locks.write_port()
        change_writer = self.write_acquire | self.write_release
        m.d.comb += [
            reader.addr.eq(self.read_space),
            writer.addr.eq(self.write_space),
            self.may_read.eq(~reader.data.writer & ~(self.claim & (self.write_space == self.read_space))),
            self.held.eq(writer.data.writer),
            self.free.eq(~writer.data.writer & ~writer.data.readers.any()),
            write.en.eq(change_writer | self.read_acquire | self.read_release),
        ]
        with m.If(change_writer):
            m.d.comb += [write.addr.eq(self.write_space), write.data.writer.eq(self.write_acquire)]
        with m.Else():
            m.d.comb += [
                write.addr.eq(self.read_space),
                write.data.readers.eq(reader.data.readers + self.read_acquire - self.read_release),
            ]
        return m
