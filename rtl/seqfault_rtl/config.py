"""Parameters of the engine: one frozen, validated dataclass; widths are derived from it and nowhere else."""

from dataclasses import dataclass, fields, replace

from amaranth.utils import exact_log2

__all__ = ["PRESETS", "EngineConfig"]

PADDR_BITS = 56
"""Width of a physical address in bits: 44-bit PPN and 12-bit offset. [Priv 12.4]"""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Parameters of one engine.

    Parameters
    ----------
    ports : requester ports.
    tlb_entries : entries of each port's L1 TLB.
    port_misses : misses that one port may have outstanding (also the depth of its answer buffer).
    walks : page-table walks in flight.
    levels : levels of the deepest paging mode built: 3 (Sv39), 4 (and Sv48) or 5 (and Sv57).
    sv32 : build Sv32 too.
    svadu : build the hardware update of A and D (spaces choose).
    l2_sets, l2_ways : sets (a power of two, at least 16; 0: no L2 TLB) and ways for 4 KiB pages of the L2 TLB.
    walk_cache : entries of the page-walk cache per upper level, a power of two; 0: none.
    contexts : fault contexts (faults in flight), at most 62.
    lookups : VMA lookups in flight.
    spaces : address spaces known at a time; a power of two.
    vma_cache : entries of the VMA range cache.
    sequence_entries : sequence counters; a power of two. VMA ids are taken modulo this.
    srcu_calls : SRCU calls that may be pending, a power of two; one more is refused.
    pool_frames : free frames prefetched from the ring, a power of two, at least 8.
    zap_chunk : leaf entries that ZAP and PROTECT handle under one lock hold (8 to 64, a power of two).
    max_retries : speculative attempts before the mm lock is taken.
    lock_rounds : times a fault parks on a busy PTE lock before it aborts.
    mm_lock_patience : cycles that a reader waits for the mm lock before the fault goes to software.
    events : build the event port (simulation and formal; synthesis leaves it out).

    Raises
    ------
    ValueError : a parameter is out of its range.
    """

    ports: int = 4
    tlb_entries: int = 16
    port_misses: int = 8
    walks: int = 16
    levels: int = 5
    sv32: bool = True
    svadu: bool = True
    l2_sets: int = 128
    l2_ways: int = 4
    walk_cache: int = 16
    contexts: int = 16
    lookups: int = 4
    spaces: int = 64
    vma_cache: int = 8
    sequence_entries: int = 256
    srcu_calls: int = 16
    pool_frames: int = 16
    zap_chunk: int = 64
    max_retries: int = 3
    lock_rounds: int = 64
    mm_lock_patience: int = 1 << 20
    events: bool = True

    def __post_init__(self) -> None:
        limits = {
            "ports": (1, 64), "tlb_entries": (1, 1024), "port_misses": (1, 64), "walks": (1, 63),
            "levels": (3, 5), "l2_sets": (0, 4096), "l2_ways": (1, 8), "walk_cache": (0, 64),
            "contexts": (1, 62), "lookups": (1, 62), "spaces": (2, 4096), "vma_cache": (1, 64), "sequence_entries": (2, 65536),
            "srcu_calls": (2, 1024), "pool_frames": (8, 1024), "zap_chunk": (8, 64), "max_retries": (1, 7), "lock_rounds": (1, 255),
            "mm_lock_patience": (16, 1 << 30),
        }  # fmt: skip
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" or field.type is bool:
                if not isinstance(value, bool):
                    raise ValueError(f"{field.name} must be true or false, not {value!r}")
                continue
            low, high = limits[field.name]
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"{field.name} must be an integer from {low} to {high}, not {value!r}")
        for name in ("spaces", "sequence_entries", "srcu_calls", "pool_frames", "zap_chunk", "l2_sets", "walk_cache"):
            value = getattr(self, name)
            if value.bit_count() != 1 and (value or name not in ("l2_sets", "walk_cache")):
                raise ValueError(f"{name} must be a power of two, not {value!r}")
        if 0 < self.l2_sets < 16:
            raise ValueError(f"l2_sets must be 0 or at least 16, not {self.l2_sets!r}")

    @property
    def space_bits(self) -> int:
        """Width of a space number in bits."""
        return exact_log2(self.spaces)

    @property
    def vpn_bits(self) -> int:
        """Width of the page numbers of the deepest mode in bits."""
        return 9 * self.levels

    @property
    def modes(self) -> tuple[str, ...]:
        """Names of the paging modes built."""
        return ("SV32",) * self.sv32 + ("SV39", "SV48", "SV57")[: self.levels - 2]

    @property
    def walk_slots(self) -> int:
        """Slots of the walker: one more for the walks of A/D updates, which others may wait for."""
        return self.walks + self.svadu

    def with_settings(self, settings: dict[str, str]) -> "EngineConfig":
        """This configuration with `--set key=value` pairs applied.

        Raises `ValueError` for an unknown key or a value that is no integer (or neither true nor false).
        """
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        changes: dict[str, int | bool] = {}
        for key, text in settings.items():
            if key not in known:
                raise ValueError(f"unknown parameter {key!r}; known: {', '.join(sorted(known))}")
            if isinstance(known[key], bool):
                if text.lower() not in ("true", "false"):
                    raise ValueError(f"{key} must be true or false, not {text!r}")
                changes[key] = text.lower() == "true"
                continue
            try:
                changes[key] = int(text, 0)
            except ValueError:
                raise ValueError(f"{key} must be an integer, not {text!r}") from None
        return replace(self, **changes)  # type: ignore[arg-type]


PRESETS: dict[str, EngineConfig] = {
    "default": EngineConfig(),
    "small": EngineConfig(
        ports=2, tlb_entries=8, port_misses=4, walks=4, levels=4, sv32=False, svadu=False, l2_sets=0, walk_cache=4, contexts=4,
        lookups=2, spaces=16, vma_cache=4, sequence_entries=64, pool_frames=8, zap_chunk=8,
    ),
    "core": EngineConfig(ports=2, tlb_entries=16, port_misses=4, walks=8, levels=3, sv32=False, svadu=False, l2_sets=0, walk_cache=8, spaces=16),
}  # fmt: skip
"""Named configurations for `--preset`."""
