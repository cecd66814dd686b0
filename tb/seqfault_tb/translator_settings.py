"""The configuration under test, from the environment, and a bench for it."""

import os
from typing import Any

from .translator_bench import Bench

__all__ = ["AXI", "ENTRIES", "HAS_L2", "PORTS", "SVADU", "WALK_CACHE", "bench_for"]

PORTS = int(os.environ.get("PORTS", "4"))
SPACES = int(os.environ.get("SPACES", "64"))
ENTRIES = int(os.environ.get("TLB_ENTRIES", "16"))
LEVELS_BUILT = int(os.environ.get("LEVELS", "5"))
HAS_SV32 = os.environ.get("SV32") == "1"
SVADU = os.environ.get("SVADU") == "1"
HAS_L2 = os.environ.get("HAS_L2") == "1"
WALK_CACHE = os.environ.get("WALK_CACHE", "0") != "0"
AXI = os.environ.get("AXI") == "1"


def bench_for(dut: Any, seed: int, **options: Any) -> Bench:
    """A bench of this configuration."""
    return Bench(dut, seed, ports=PORTS, spaces=SPACES, levels=LEVELS_BUILT, sv32=HAS_SV32, svadu=SVADU, has_l2=HAS_L2, axi=AXI, **options)
