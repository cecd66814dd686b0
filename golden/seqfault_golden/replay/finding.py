"""A context's steps R1 to R7 and PAGE, on memory as it is now."""

from typing import TYPE_CHECKING

from ..layout import Outcome, Step
from ..lookups import NO_TABLE_LEVEL, find_vma, read_record, walk
from ..page_cache import find_page, page_index
from ..protocol.find_steps import page, r1, r2, r3, r4, r5, r6, r7
from ..protocol.world import fail
from .context import Context, Request
from .tell import tell

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["fields", "find", "look_up", "walk_tables"]

_OK = Outcome.OK


def find(engine: "Engine", c: Context, request: Request) -> None:
    """R1-R2."""
    world = engine.world
    found, record, vma_id = find_vma(engine.read, world.vmas[request.space], request.vpn)
    c.id = vma_id
    if r1(world, c, found, record, vma_id) != _OK:
        return tell(engine, c, Step.R1, Step.R1, found)
    seq = world.sequence(c.id)
    tell(engine, c, Step.R1, Step.R2, r2(world, c), seq=seq, addr=record)


def fields(engine: "Engine", c: Context, request: Request) -> None:
    """R3-R6."""
    world, record = engine.world, read_record(engine.read, c.record)
    c.start, c.end, c.pgoff, c.backing = record.start, record.end, record.pgoff, record.backing
    last, outcome = Step.R3, r3(world, c, record.flags)
    if outcome == _OK:
        r4(world, c, record.page_prot)
        last, outcome = Step.R5, r5(world, c, record.start <= request.vpn < record.end)
    if outcome == _OK:
        last, outcome = Step.R6, r6(world, c)
        c.invalidated = False
    tell(engine, c, Step.R3, last, outcome, seq=c.seq, addr=record.page_prot, data=record.flags)


def walk_tables(engine: "Engine", c: Context, request: Request) -> None:
    """R7. A space that has lost its table meanwhile has NO_TABLE."""
    world, space = engine.world, request.space
    address, entry, c.level = walk(engine.read, world.tables[space], request.vpn)
    lost = c.level == NO_TABLE_LEVEL
    outcome = fail(c, Outcome.NO_TABLE) if lost else r7(world, c, c.level, address, entry, world.features[space])
    tell(engine, c, Step.R7, Step.R7, outcome, addr=address, data=entry)


def look_up(engine: "Engine", c: Context, request: Request) -> None:
    """PAGE."""
    found, address, word = find_page(engine.read, c.backing, page_index(c.start, c.pgoff, request.vpn))
    c.slot = address
    tell(engine, c, Step.PAGE, Step.PAGE, page(engine.world, c, found, word), addr=address, data=word)
