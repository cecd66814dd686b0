"""Who maps which page frame: reference counts, the page cache and the zero frame."""

from .constants import PTE_PPN_SHIFT, PTE_V
from .memory_layout import MemoryMap
from .page_cache import PageCache

__all__ = ["Frames"]


class Frames:
    """Reference counts of page frames (PPNs).

    A frame that nothing is known about has one owner: so the frames that the engine took from the free ring, to zero or to copy into, need no
    bookkeeping. When of several owners one is left, its entry is not EXCLUSIVE again: the engine copies once more. The zero frame and frames of the
    page cache are never freed.

    Attributes
    ----------
    cache : the pages of files. zero : the zero frame.
    """

    def __init__(self, memory: MemoryMap, cache: PageCache) -> None:
        self._memory = memory
        self.cache = cache
        self.zero = memory.frames.take()
        self._more: dict[int, int] = {}

    def take(self) -> int:
        """A zeroed frame for software's own use."""
        return self._memory.frames.take()

    def share(self, entry: int) -> None:
        """Another page-table entry maps the same frame."""
        frame = entry >> PTE_PPN_SHIFT
        if not self.is_cached(frame):
            self._more[frame] = self._more.get(frame, 0) + 1

    def is_cached(self, frame: int) -> bool:
        """The frame is the zero frame or a page of a file."""
        return frame == self.zero or self.cache.owner(frame) is not None

    def is_exclusive(self, frame: int) -> bool:
        """Nobody else maps this frame, and it is nobody else's."""
        return frame not in self._more and not self.is_cached(frame)

    def release(self, entry: int) -> None:
        """This entry no longer maps its frame; the last one retires it. Call it when the invalidation is posted, before the fence is."""
        if not entry & PTE_V:
            return
        frame = entry >> PTE_PPN_SHIFT
        if self.is_cached(frame):
            return
        more = self._more.get(frame)
        if more is None:
            self._memory.quarantine.retire(self._memory.frames, frame)
        elif more == 1:
            del self._more[frame]
        else:
            self._more[frame] = more - 1
