"""Who maps which page frame: reference counts, the page cache and the zero frame."""

from .constants import PTE_PPN_SHIFT, PTE_V
from .memory_layout import MemoryMap

__all__ = ["Frames"]


class Frames:
    """Reference counts of page frames (PPNs).

    A frame that nothing is known about has one owner: so the frames that the engine took from the free ring need no bookkeeping.
    The zero frame and pages of the page cache are never freed.
    """

    def __init__(self, memory: MemoryMap) -> None:
        self._memory = memory
        self.zero = memory.frames.take()
        self._more: dict[int, int] = {}
        self._cache: dict[tuple[object, int], int] = {}
        self._cached: set[int] = {self.zero}

    def take(self) -> int:
        """A zeroed frame for software's own use."""
        return self._memory.frames.take()

    def cached(self, file: object, page: int) -> int:
        """The frame that holds page `page` of `file`."""
        frame = self._cache.get((file, page))
        if frame is None:
            frame = self._cache[file, page] = self._memory.frames.take()
            self._cached.add(frame)
        return frame

    def share(self, entry: int) -> None:
        """Another page-table entry maps the same frame."""
        frame = entry >> PTE_PPN_SHIFT
        if frame not in self._cached:
            self._more[frame] = self._more.get(frame, 0) + 1

    def is_cached(self, frame: int) -> bool:
        """The frame is the zero frame or a page of a file."""
        return frame in self._cached

    def is_exclusive(self, frame: int) -> bool:
        """Nobody else maps this frame, and it is nobody else's."""
        return frame not in self._cached and frame not in self._more

    def release(self, entry: int) -> None:
        """This entry no longer maps its frame; the last one retires it. Call it when the invalidation is posted, before the fence is."""
        if not entry & PTE_V:
            return
        frame = entry >> PTE_PPN_SHIFT
        if frame in self._cached:
            return
        more = self._more.get(frame)
        if more is None:
            self._memory.quarantine.retire(self._memory.frames, frame)
        elif more == 1:
            del self._more[frame]
        else:
            self._more[frame] = more - 1
