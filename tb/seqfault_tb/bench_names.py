"""Names and numbers of the measurements on the whole engine. Imports no simulator: the plan of `seqfault bench` needs them too."""

from .machine import POLICIES

__all__ = ["CYCLES_PER_SECOND", "KINDS", "MUTATORS", "OTHER_POLICIES", "PATTERNS", "PERCENTILES", "RATED"]

KINDS = {
    "anon-read": "zero frame",
    "anon-write": "frame of the pool",
    "anon-write-unzeroed": "frame of the pool, zeroed by the engine",
    "file-read": "16 pages of the page cache (fault-around)",
    "shared-write": "page of the page cache, writable",
    "file-write": "copy of a page of the page cache",
    "cow": "copy of the page that was mapped",
    "upgrade": "right to write, the page stays",
}
"""The kinds of fault whose latency is measured, and what the engine maps."""
RATED = ("anon-read", "anon-write")
"""Those whose rate is measured."""
PERCENTILES = (50, 99, 99.9)
PATTERNS = ("disjoint", "shared", "neighbours")
"""Where faults that are under way together are: in leaf tables of their own; in one, but not in one 64-byte line of it; in one, in order."""
MUTATORS = {"mmap-munmap": 300_000, "mprotect-unrelated": 195_000, "mprotect-same": 50_000}
"""Changes a second, as Linux was measured under them. An mmap with its munmap is one."""
CYCLES_PER_SECOND = 100_000_000
OTHER_POLICIES = POLICIES[2], POLICIES[1]
"""Those that `spec` is compared with: the mm lock, then the VMA lock."""
