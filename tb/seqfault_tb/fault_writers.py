"""Software beside a fault unit under load: it changes VMAs, entries, tables and the page cache as the contract allows it."""

from collections.abc import Callable
from random import Random

from seqfault_golden.layout import VmaFlag

from .fault_bench import FaultBench
from .fault_world import RWX, PlainWorld, Vma

__all__ = ["FRAMES", "PAGES", "ZERO_FRAME", "Writers"]

ZERO_FRAME = 0x777
FRAMES = range(0x500, 0x500 + 48)
PAGES = 16
"""Pages of each VMA, some beyond its record's bounds."""
FILE_FRAMES = 0x9000
V, W, A, D, EXCLUSIVE, UFFD_WP = 1, 4, 0x40, 0x80, 0x100, 0x200
KINDS = (VmaFlag.ANON, VmaFlag.ANON, 0, 0, VmaFlag.SHARED, VmaFlag.ANON | VmaFlag.SHARED)
ODD_FLAGS = (VmaFlag.UFFD, VmaFlag.UFFD_WP, VmaFlag.UFFD_WP, VmaFlag.UFFD_MINOR, VmaFlag.GROWSDOWN, VmaFlag.HUGE)


class Writers:
    """What software does, one job after the other. `released`: frames that wait to be zeroed and put into the pool."""

    def __init__(self, bench: FaultBench, world: PlainWorld, rng: Random) -> None:
        self.bench, self.world, self.rng, self.commands = bench, world, rng, bench.commands
        self.released: list[int] = []
        self.files = 0
        for index, vma in enumerate(world.vmas):
            vma.flags = int(RWX >> 1 & 7 | KINDS[index])
            self._fill_cache(vma)
            world.missing |= {world.upper_address(vma.space, page, level) for page in vma.slot for level in (1, 2)}

    def next(self) -> None:
        """Another job, if none is under way."""
        rng, commands = self.rng, self.commands
        if commands.queue:
            return
        vma = rng.choice(self.world.vmas)
        table = self.world.table(vma.space, vma.slot[0])
        self._refill(rng.randrange(60))
        match rng.randrange(11):
            case 0:
                commands.sequence_begin(vma.id, delay=rng.randrange(8))
                commands.sequence_end(vma.id, delay=rng.randrange(30))
            case 1:
                commands.lock_table(table)
                commands.unlock_table(table, delay=rng.randrange(60))
            case 2 | 3:
                mask = rng.choice((0, 0, 1, 7, 0x1FF))
                commands.invalidate(space=rng.choice((vma.space, None)), vpn=rng.choice((rng.randrange(*vma.slot), None)), mask=mask)
            case 4:
                commands.mm_lock(vma.space)
                commands.mm_unlock(vma.space, delay=rng.randrange(300))
            case 5:
                self._update(vma, rng.randrange(*vma.slot))
            case 6:
                self._slots(vma)
            case 7 | 8:
                self._section(vma, lambda page: rng.choice((self.share, self.age, self.protect, self.keep)))
            case 9:
                self._drop_table(vma)
            case _:
                self._change(vma)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def read_released_ring(self) -> None:
        """Old frames of copies; those of files are not the pool's."""
        model = self.bench.model
        self.released += [entry >> 10 for entry in model.released if entry >> 10 in FRAMES]
        model.released.clear()

    def _refill(self, delay: int) -> None:
        """Released frames are free again, at times late."""
        model = self.bench.model

        def edit() -> None:
            if self.rng.random() < 0.7:
                self.read_released_ring()
                for frame in self.released:
                    model.contents[frame] = "what was there" if model.unzeroed else 0
                model.pool.extend(self.released)
                self.released.clear()

        self.commands.software(edit, delay=delay)

    def _fill_cache(self, vma: Vma) -> None:
        """New pages of the file, most of them ready."""
        for page in range(*vma.slot):
            self.files += 1
            bits = self.rng.choice((0, 1, 3, 3, 3, 11, 11, 11, 7))
            self.world.slots[self.world.slot_address(vma, page)] = FILE_FRAMES + self.files << 10 | bits

    def _slots(self, vma: Vma) -> None:
        """What may happen to the page cache at any time: pages are locked, unlocked, get their content, become writable."""
        addresses = [self.world.slot_address(vma, page) for page in range(*vma.slot)]

        def edit() -> None:
            for address in addresses:
                word = self.world.slots[address]
                self.world.slots[address] = self.rng.choice((word, word | 4, word & ~4, word & ~4 | 3, word | 8))

        self.commands.software(edit)

    def _update(self, vma: Vma, page: int) -> None:
        """Hardware sets A and D of an entry, under the table's lock."""
        world, table, address = self.world, self.world.table(vma.space, page), self.world.address(vma.space, page)

        def edit() -> None:
            entry = world.entry(address)
            if entry & V:
                world.entries[address] = entry | A | (D if entry & W else 0)

        self.commands.lock_table(table)
        self.commands.update_leaf(vma.space, page, edit)
        self.commands.unlock_table(table)

    def _section(self, vma: Vma, choose: Callable[[int], Callable[[int], None]], edits: list[Callable[[], None]] | None = None) -> None:
        """A section of the VMA: `edits` of software, then each page's entry, by its address, is changed as `choose` says."""
        rng, commands = self.rng, self.commands
        commands.mm_lock(vma.space)
        commands.sequence_begin(vma.id)
        for edit in edits or []:
            commands.software(edit, delay=rng.randrange(20))
        self._entries(vma, range(*vma.slot), choose)
        commands.invalidate(space=vma.space, vpn=None)
        commands.sequence_end(vma.id)
        commands.mm_unlock(vma.space)

    def _entries(self, vma: Vma, pages: range, choose: Callable[[int], Callable[[int], None]]) -> None:
        """As ZAP and PROTECT do: one table after the other, under its lock."""
        rng, commands, world = self.rng, self.commands, self.world
        for table in sorted({page >> 9 for page in pages}):
            which = [page for page in pages if page >> 9 == table]
            ppn = world.table(vma.space, which[0])
            commands.lock_table(ppn)
            for page in which:
                edit, address = choose(page), world.address(vma.space, page)
                if edit != self.keep:
                    commands.change_leaf(vma.space, page, lambda edit=edit, address=address: edit(address), delay=rng.randrange(3))
            commands.unlock_table(ppn)

    def _change(self, vma: Vma) -> None:
        """mprotect, a smaller VMA, another kind, other pages: the record changes field by field, and the entries are zapped."""
        rng = self.rng
        rights = rng.choice((VmaFlag.READ, VmaFlag.READ | VmaFlag.WRITE, VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC))
        flags = int(rights | rng.choice(KINDS) | (rng.choice(ODD_FLAGS) if rng.random() < 0.3 else 0))
        size = rng.choice((PAGES, PAGES, PAGES // 2))
        fields = {"page_prot": RWX & ~0xE | (int(rights) << 1) | rng.randrange(2) << 5, "flags": flags, "end": vma.start + size}
        edits: list[Callable[[], None]] = [lambda name=name, value=value: setattr(vma, name, value) for name, value in fields.items()]
        edits.append(lambda: self._fill_cache(vma))
        rng.shuffle(edits)
        self._section(vma, lambda page: self.zap, edits)

    def _drop_table(self, vma: Vma) -> None:
        """A leaf table goes: in a section of each VMA below it, with a fence first, as no command writes upper entries."""
        commands, world, page = self.commands, self.world, vma.slot[0]
        upper = world.upper_address(vma.space, page, 1)
        if upper in world.missing:
            return
        below = [other for other in world.vmas if other.space == vma.space and page >> 9 in (other.slot[0] >> 9, other.slot[1] - 1 >> 9)]
        commands.mm_lock(vma.space)
        for other in below:
            commands.sequence_begin(other.id)
        commands.software(lambda: None, after=self._fence())
        for other in below:
            self._entries(other, range(*other.slot), lambda page: self.zap)

        def edit() -> None:
            world.entries.pop(upper)
            world.missing.add(upper)
            self.released.append(world.tables.pop(upper))

        commands.software(edit)
        commands.invalidate(space=vma.space, vpn=None)
        for other in below:
            commands.sequence_end(other.id)
        commands.mm_unlock(vma.space)

    def _fence(self) -> Callable[[], bool]:
        """Every attempt that ran when it was asked first has ended."""
        model = self.bench.model
        began: set[tuple[int, int]] = set()
        asked: list[bool] = []

        def over() -> bool:
            running = {(id(c), c.attempt) for agent, (c, _) in model.running.items() if agent in model.pinned}
            if not asked:
                asked.append(True)
                began.update(running)
            return not began & running

        return over

    # --- entries ------------------------------------------------------------------------------------------------------

    def keep(self, address: int) -> None:
        """Nothing."""

    def zap(self, address: int) -> None:
        entry = self.world.entries.pop(address, 0)
        if entry >> 10 in FRAMES:
            self.released.append(entry >> 10)

    def share(self, address: int) -> None:
        """As fork: whoever stores next copies."""
        if self.world.entry(address):
            self.world.entries[address] &= ~(W | D | EXCLUSIVE)

    def protect(self, address: int) -> None:
        """Userfault, write protection."""
        if self.world.entry(address):
            self.world.entries[address] = self.world.entries[address] & ~W | UFFD_WP

    def age(self, address: int) -> None:
        if self.world.entry(address):
            self.world.entries[address] &= ~(A | D)
