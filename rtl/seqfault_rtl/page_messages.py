"""What is asked about pages of files: where the page cache has one, and which of its neighbours to map. [docs/software-contract.md, Page cache]"""

from amaranth import Value
from amaranth.lib import data

from .config import PADDR_BITS
from .messages import Outcome
from .paging import VPN_BITS

__all__ = [
    "AROUND_PAGES", "NODE_ALIGN_BITS", "PAGE_TAG_BITS", "PGOFF_BITS", "Backing", "CacheNode", "FaultAroundAnswer", "FaultAroundJob",
    "PageLookupRequest", "PageLookupResponse", "Slot",
]  # fmt: skip

PAGE_TAG_BITS = 6
"""Width of a tag in bits: the number of a fault context fits."""
PGOFF_BITS = 52
AROUND_PAGES = 16
"""Pages of a fault-around window, naturally aligned."""
NODE_ALIGN_BITS = 9
"""log2 of the bytes of a node of the page cache."""


class Backing(data.Struct):
    """Word 5 of a VMA record. `node`: address of the root node without its lowest 9 bits."""

    height: 6
    reserved_6: 3
    node: PADDR_BITS - NODE_ALIGN_BITS
    reserved_56: 64 - PADDR_BITS


class CacheNode(data.Struct):
    """A word of an inner node. `node`: address of the node below without its lowest 9 bits."""

    valid: 1
    reserved_1: NODE_ALIGN_BITS - 1
    node: PADDR_BITS - NODE_ALIGN_BITS
    reserved_56: 64 - PADDR_BITS


class Slot(data.Struct):
    """A word of a lowest node: a page of the file, in the frame `ppn`."""

    present: 1
    uptodate: 1
    locked: 1
    writable: 1
    reserved_4: 6
    ppn: PADDR_BITS - 12
    reserved_54: 10

    def may_be_mapped(self) -> Value:
        """For a load: the page is here, its content too, and nobody works on it."""
        return self.present & self.uptodate & ~self.locked


class PageLookupRequest(data.Struct):
    """Look up page `pgoff` + `vpn` - `start` (`start`, `pgoff`: words 0 and 4 of the VMA's record) of the file with `backing` (word 5)."""

    tag: PAGE_TAG_BITS
    vpn: VPN_BITS
    start: VPN_BITS
    pgoff: PGOFF_BITS
    backing: 64


class PageLookupResponse(data.Struct):
    """The end of the lookup of this tag: `word` was read at `addr` (in bytes).

    OK: a slot, whatever it says. NOT_CACHED: an inner word with VALID=0, or `addr` and `word` are 0: the file is not as long. BAD_TREE: higher
    than 8 levels; `addr`, `word` are 0. BUS_ERROR: at `addr`; `word` is 0.
    """

    tag: PAGE_TAG_BITS
    outcome: Outcome
    addr: PADDR_BITS
    word: 64


class FaultAroundJob(data.Struct):
    """Map the pages around `vpn` of a VMA of pages `start` to `end` - 1.

    `slot_addr`, `pte_addr`: addresses of the slot and of the leaf entry of the page itself. `page_prot`: word 3 of the VMA's record.
    """

    tag: PAGE_TAG_BITS
    vpn: VPN_BITS
    start: VPN_BITS
    end: 48
    slot_addr: PADDR_BITS
    pte_addr: PADDR_BITS
    page_prot: 10


class FaultAroundAnswer(data.Struct):
    """The job of this tag has ended. `mask` bit i: the entry at `first_addr` + 8 i was set. `error`: a read
    failed, then none was; or a write, then nobody knows those entries.
    """

    tag: PAGE_TAG_BITS
    first_addr: PADDR_BITS
    mask: AROUND_PAGES
    error: 1
