"""Names and numbers of the measurements on the whole engine. Imports no simulator: the plan of `seqfault bench` needs them too."""

from .machine import POLICIES

__all__ = ["CYCLES_PER_SECOND", "KINDS", "MUTATORS", "OTHER_POLICIES", "PATTERNS", "PERCENTILES"]

LOAD, STORE = 0, 1
KINDS = {"anon-read": LOAD, "anon-write": STORE}
"""The kinds of fault that the engine resolves, by their access."""
PERCENTILES = (50, 99, 99.9)
PATTERNS = ("disjoint", "shared", "neighbours")
"""Where faults that are under way together are: in leaf tables of their own; in one, but not in one 64-byte line of it; in one, in order."""
MUTATORS = {"mmap-munmap": 300_000, "mprotect-unrelated": 195_000, "mprotect-same": 50_000}
"""Changes a second, as Linux was measured under them. An mmap with its munmap is one."""
CYCLES_PER_SECOND = 100_000_000
OTHER_POLICIES = POLICIES[2], POLICIES[1]
"""Those that `spec` is compared with: the mm lock, then the VMA lock."""
