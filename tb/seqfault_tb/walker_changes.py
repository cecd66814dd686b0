"""What software does to tables during a test of the Walker."""

from .page_walk import LEAF, N, R, V, X
from .tlb_model import Invalidation
from .walker_bench import Bench

__all__ = ["change", "move_table"]


def change(bench: Bench) -> None:
    """Change what some page translates to, or another entry; announce it exactly when it is a leaf entry, else for everything."""
    rng, tables = bench.rng, bench.tables
    active = [item for walks in bench.outstanding for item in walks.values() if item["space"] in bench.spaces]
    if rng.random() < 0.2 or not active:
        address = rng.choice(list(tables.entries))
        tables.entries[address] = tables.random_entry(*tables.kind_of[address >> 12])
        bench.strike = Invalidation(space=None, vpn=None)
        return
    item = rng.choice(active)
    if rng.random() < 0.3:
        # strikes next to the page, at every distance, without a change
        bench.strike = Invalidation(space=item["space"], vpn=item["vpn"] ^ 1 << rng.randrange(45), mask=rng.choice((0, 1, 0x1FF)))
        return
    change_end(bench, item, active)


def change_end(bench: Bench, item: dict, active: list[dict]) -> None:
    """Change the entry at which this walk ends."""
    rng, tables = bench.rng, bench.tables
    end, space = bench.reference(item["space"], item["vpn"]), bench.space_at(item["space"])
    address = tables.holder(end.address)
    words = [tables.holder(bench.reference(other["space"], other["vpn"]).address) & ~7 for other in active]
    fresh = rng.choice((tables.random_leaf(space.is_narrow, end.level), tables.random_entry(space.is_narrow, end.level), 0, None))
    low = (1 << space.index_bits * end.level) - 1
    both_halves = space.is_narrow and None in (tables.entries.get(address, 0), fresh)
    if both_halves or words.count(address & ~7) > 1 or (end.pte & V and not end.pte & (R | X)) or not is_end(fresh):
        bench.strike = Invalidation(space=None, vpn=None)
    elif end.outcome == LEAF and end.pte & N:
        bench.strike = Invalidation(space=item["space"], vpn=item["vpn"] ^ rng.getrandbits(4))  # any page of the 64 KiB
    else:
        bench.strike = Invalidation(space=item["space"], vpn=item["vpn"] ^ (rng.getrandbits(45) & low), mask=rng.choice((0, 1)))
    tables.entries[address] = fresh


def is_end(entry: int | None) -> bool:
    """Surely no pointer."""
    return entry is None or not entry & V or bool(entry & (R | X))


def move_table(bench: Bench) -> None:
    """Replace a table, rather one that a walk passes now. A single page is enough for the pointer if no walk below is under way."""
    rng, tables = bench.rng, bench.tables
    number = rng.choice(list(bench.spaces))
    vpn = tables.random_vpn(bench.spaces[number].mode)
    under_way = [item for walks in bench.outstanding for item in walks.values()]
    if under_way:
        item = rng.choice(under_way)
        number, vpn = item["space"], item["vpn"]
    space = bench.spaces[number]
    table, bits, goal = space.root, space.index_bits, rng.randrange(1, min(space.levels, 3))
    for level in reversed(range(goal, space.levels)):
        address = tables.entry_address(table, vpn >> bits * level & (1 << bits) - 1)
        table = (tables.entries[address] or 0) >> 10
    low = (1 << bits * goal) - 1
    tables.entries[address] = V | tables.grow(space.is_narrow, goal - 1) << 10
    idle = not any(bench.outstanding) and not any(bench.waiting)
    bench.strike = Invalidation(space=number, vpn=vpn ^ (rng.getrandbits(45) & low), mask=0 if idle and goal == 1 else low)
