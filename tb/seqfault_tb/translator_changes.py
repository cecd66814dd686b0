"""What software does to tables and spaces during a test of the Translator."""

from typing import TYPE_CHECKING

from .page_walk import BARE, BUS_ERROR, LEAF, A, D, G, N, R, U, V, W, WalkEnd, X, is_canonical
from .tlb_model import Invalidation

if TYPE_CHECKING:
    from .translator_bench import Bench

__all__ = ["change_page", "change_space", "map_pages", "map_table"]

EVERYTHING = Invalidation(space=None, vpn=None)


def change_page(bench: "Bench") -> None:
    """Change where a walk of some page ends, and announce it by an invalidation that covers no more than it must."""
    rng, tables, (number, vpn) = bench.rng, bench.tables, bench.random_page()
    space = bench.world.space(number)
    if space.mode == BARE or not is_canonical(vpn, space.mode, 45):
        return
    end = bench.world.walk(number, vpn)
    address = tables.holder(end.address)
    if address not in tables.entries:
        return
    leaves = [tables.random_leaf(space.is_narrow, end.level) for _ in range(2)]
    fresh = rng.choice((leaves[0] | A, leaves[1], 0, None))
    bench.strike = _announcement(bench, number, vpn, end, fresh)
    bench.world.put(address, fresh)
    bench.note_change()


def _announcement(bench: "Bench", number: int, vpn: int, end: WalkEnd, fresh: int | None) -> Invalidation:
    """The invalidation for an entry of this space that becomes `fresh`."""
    rng, space = bench.rng, bench.world.space(number)
    both_halves = space.is_narrow and (end.outcome == BUS_ERROR or fresh is None)
    if both_halves or (end.pte & V and not end.pte & (R | X)):  # or a malformed pointer
        return EVERYTHING
    users = bench.world.users(bench.tables.holder(end.address))
    if len(users) > 1:
        is_alone = {user for user, _, _ in users} == {number} and not end.pte & G
        return Invalidation(space=number, vpn=None) if is_alone else EVERYTHING
    low = (1 << (end.page_bits if end.outcome == LEAF else space.index_bits * end.level)) - 1
    neighbours = 0xF if (fresh or 0) & N or (end.pte & N and end.outcome != LEAF) else 0
    page = vpn ^ (rng.getrandbits(45) & low)
    return Invalidation(space=None if end.pte & G else number, vpn=page, mask=neighbours | rng.choice((0, 1, 7)))


def change_space(bench: "Bench") -> None:
    """Give a space another table, or none; another mode only after none. The invalidation follows when it can be seen."""
    rng, spaces = bench.rng, bench.world.spaces
    without = [number for number, space in spaces.items() if not space.levels]
    number = rng.choice(without if without and rng.random() < 0.6 else list(spaces))
    mode = spaces[number].mode
    mode = rng.choice((mode, mode, BARE)) if mode else rng.choice(bench.modes)
    bench.table_write = (number, bench.new_space(number, mode))


def map_table(bench: "Bench", space: int, goal: int) -> int:
    """A new table of level `goal` for the pages from 0 on."""
    tables, entry = bench.tables, bench.world.space(space)
    table = entry.root
    for level in reversed(range(goal, entry.levels - 1)):
        below = tables.new_page(entry.is_narrow, level)
        tables.entries[tables.entry_address(table, 0)] = V | below << 10
        table = below
    return table


def map_pages(bench: "Bench", count: int, entry: int = V | R | W | X | U | A | D) -> list[int]:
    """Addresses of so many 4 KiB pages of space 0, which have this entry and tables of their own."""
    table = map_table(bench, 0, 0)
    for index in range(count):
        bench.tables.entries[bench.tables.entry_address(table, index)] = entry | bench.rng.getrandbits(40) << 10
    return [index << 12 for index in range(count)]
