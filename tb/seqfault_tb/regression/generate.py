"""Makes a program from a seed: first its shape and conditions, at random within a profile, then its regions and the actions of its threads."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from seqfault_rtl.config import PRESETS

from ..kernel.constants import Flags
from ..kernel.layout import VM_HUGETLB, VM_UFFD_MISSING
from .program import Action, Conditions, Program, Region, Thread

__all__ = ["PROFILES", "Profile", "Shape", "generate", "make_program"]

BASES = {"sv39": 0x200_0000, "sv48": 0x7_0000_0000, "sv57": 0x100_0000_0000}
"""VPN of the first region, in the lower half of each mode's addresses."""
SPACE_PITCH = 0x10_0000
LOAD, STORE, FETCH = 0, 1, 2
ACCESSES = (STORE, STORE, LOAD, FETCH)
RETRY = Flags.ALLOW_RETRY
FLAGS = (RETRY,) * 5 + (RETRY | Flags.NOWAIT, Flags.ATOMIC, Flags(0))
"""Of a request; TRIED is software's, when it comes back."""
PERMS = ("rw-p", "rw-p", "r--p", "rwxp", "---p")
KINDS = (
    ("file_priv", "rw-p", 0), ("file_shared", "rw-s", 0), ("shm", "rw-s", 0),
    ("anon", "rw-p", VM_UFFD_MISSING), ("anon", "rw-p", VM_HUGETLB),
)  # fmt: skip
"""VMAs that are not plain anonymous memory: kind, rights, Linux' vm_flags. The first three show a file."""
FILE, FILE_PAGE = "a file", 60
"""All regions that show one show it around this page, where a leaf of its page cache's tree ends."""
MUTATORS_ACTIONS, MOST_BUMPS = 64, 32
CHILD_FAULTS = 3


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a program, and what is in it.

    Parameters
    ----------
    faults : in all. faulters, mutators : threads of each kind. regions : of each address space, with `pages` pages each. pause_ns : longest pause of
    a mutator. spaces : address spaces. pitch : pages from one region to the next; from 512 on a region has page tables of its own, which come and go.
    files : so many regions of a space are of other kinds (`KINDS`, in turn); pages leave the page cache then. forks, moves : with these operations.
    aging : the operations are those that make work for hardware that sets A and D. sections : most of them are sections in which flags change, or
    nothing. flushes : most of them only invalidate TLBs.
    """

    faults: int = 2000
    faulters: int = 8
    mutators: int = 2
    regions: int = 4
    pages: int = 24
    pause_ns: int = 3000
    spaces: int = 1
    pitch: int = 48
    files: int = 0
    forks: bool = False
    moves: bool = False
    aging: bool = False
    sections: bool = False
    flushes: bool = False


@dataclass(frozen=True, kw_only=True)
class Profile:
    """`about` : what its programs are for. `choices` : what is chosen from where it is not `CHOICES`. `shape` : of all its programs."""

    about: str
    choices: dict[str, tuple[Any, ...]]
    shape: dict[str, Any] = field(default_factory=dict)


_STEADY = {"pressure": (0,), "error_rate": (0.0,), "small_rings": (False,)}
_ALONE = _STEADY | {"spaces": (1,), "moves": (False,), "aging": (False,), "policy": ("spec",)}
PROFILES: dict[str, Profile] = {
    "mixed": Profile(about="everything, at random", choices={"sections": (False,) * 7 + (True,)}),
    "races": Profile(
        about="anonymous memory, a small place, no pauses: as many races as there can be",
        choices=_STEADY | {
            "faulters": (8, 12, 16), "mutators": (2, 3, 4), "regions": (1, 2), "pause_ns": (0,), "files": (0,), "spaces": (1,),
            "policy": ("spec",), "unzeroed": (False,),
        },
    ),
    "files": Profile(
        about="pages of files, private and shared, copy on write, userfaults, huge pages, pages that leave the cache, forks, moves",
        choices={"files": (3, 5), "regions": (6,), "forks": (True,), "moves": (True,), "error_rate": (0.0,)},
    ),
    "tables": Profile(
        about="regions so far apart that page tables come and go",
        choices={"pitch": (512, 1 << 18), "files": (5,), "regions": (6,), "unzeroed": (True, False), "mode": ("sv48", "sv57")},
    ),
    "rings": Profile(
        about="rings of three entries and a page-request queue of one, which software sees to seldom",
        choices={"small_rings": (True,), "faulters": (4,), "files": (0, 5), "regions": (6,)},
    ),
    "aging": Profile(about="hardware sets A and D while software clears them", choices={"adue": (True,), "aging": (True,)}),
    "policies": Profile(
        about="faults under the VMA's lock or the mm's lock", choices={"policy": ("vma-lock", "mm-lock"), "files": (0, 5), "regions": (6,)},
    ),
    "spaces": Profile(about="several address spaces and their forked children", choices={"spaces": (2, 3, 6), "regions": (2,), "forks": (True,)}),
    "pressure": Profile(about="memory and ports that are often not ready", choices={"pressure": (20, 40, 60, 80)}),
    "sections": Profile(
        about="sections as short as can be, of VMAs in which there is always a fault: commands between any two steps",
        choices=_ALONE | {
            "faulters": (16, 32), "mutators": (2, 4), "regions": (1, 2, 4), "pages": (96,), "pitch": (96, 512, 1 << 18), "files": (0, 3, 3),
            "pause_ns": (300, 1000, 3000), "sections": (True,), "unzeroed": (False, True),
        },
    ),
    "wide": Profile(
        about="regions so large that most faults make a page table, and sections as short as can be",
        choices=_ALONE | {
            "faulters": (4, 8, 16), "mutators": (2, 3), "regions": (4,), "pages": (1 << 13,), "pitch": (1 << 13,), "files": (0,),
            "pause_ns": (300, 1000), "sections": (True,),
        },
    ),
    "flushes": Profile(
        about="one flush of TLBs after the other, of pages of files around which faults are served",
        choices=_ALONE | {
            "faulters": (16, 32), "mutators": (2, 4), "regions": (4,), "files": (3,), "pages": (96,), "pitch": (96,), "latency": (2, 5, 20),
            "pause_ns": (0,), "forks": (False,),
        },
        shape={"flushes": True},
    ),
    "errors": Profile(about="reads that memory answers with an error", choices={"error_rate": (0.0005, 0.002, 0.01)}),
}  # fmt: skip
CHOICES: dict[str, tuple[Any, ...]] = {
    "faulters": (4, 8, 8, 12), "mutators": (1, 2, 2, 3), "regions": (2, 4, 6), "pages": (24, 24, 40), "pause_ns": (0, 300, 1000, 3000),
    "spaces": (1, 1, 1, 2), "pitch": (48, 48, 512, 1 << 16), "files": (0, 0, 3, 5), "forks": (False, True), "moves": (False, True),
    "aging": (False, False, True), "policy": ("spec", "spec", "spec", "spec", "vma-lock", "mm-lock"), "mode": ("sv39", "sv48", "sv57"),
    "latency": (2, 5, 20, 20, 50), "pressure": (0, 0, 0, 30), "error_rate": (0.0,) * 7 + (0.002,), "adue": (False, False, True),
    "unzeroed": (False, False, False, True), "small_rings": (False,) * 7 + (True,),
    "sections": (False,),
}  # fmt: skip
SHAPE_KEYS = ("faulters", "mutators", "regions", "pages", "pause_ns", "spaces", "pitch", "files", "forks", "moves", "aging", "sections")


def generate(
    seed: int, *, profile: str = "mixed", faults: int = Shape.faults, preset: str = "default", settings: dict[str, str] | None = None, **fixed: Any
) -> Program:
    """The program of a seed, always the same; `fixed` : conditions that are not chosen.

    Raises `ValueError` for an unknown preset or setting. What the configuration has not (a deep mode, svadu) is not chosen.
    """
    config = PRESETS[preset].with_settings(settings or {})
    rng = Random(f"{profile} {seed}")
    chosen = {name: rng.choice(PROFILES[profile].choices.get(name, choices)) for name, choices in CHOICES.items()}
    if chosen["mode"].upper() not in config.modes:
        chosen["mode"] = rng.choice([mode.lower() for mode in config.modes if mode != "SV32"])
    chosen["adue"] &= config.svadu
    chosen["pitch"] = min(chosen["pitch"], SPACE_PITCH // 8 if chosen["mode"] == "sv39" else 1 << 18)
    chosen |= {name: value for name, value in fixed.items() if value is not None}
    shape = Shape(faults=faults, **{name: chosen.pop(name) for name in SHAPE_KEYS}, **PROFILES[profile].shape)
    conditions = Conditions(preset=preset, settings=settings or {}, **chosen)
    return make_program(seed, shape, conditions, profile=profile)


def make_program(seed: int, shape: Shape, conditions: Conditions, *, profile: str = "") -> Program:
    """The program of this shape."""
    if shape.files and shape.files >= shape.regions:
        shape = replace(shape, regions=shape.files + 1)
    rng = Random(seed)
    regions = tuple(_region(shape, conditions, space, place) for space in range(shape.spaces) for place in range(shape.regions))
    each, more = divmod(shape.faults, shape.faulters)
    faulters = [Thread(actions=_faults(rng, shape, len(regions), each + (number < more))) for number in range(shape.faulters)]
    mutators = [Thread(actions=_operations(rng, shape, len(regions)), repeat=True) for _ in range(shape.mutators)]
    return Program(seed=seed, profile=profile, conditions=conditions, regions=regions, threads=(*faulters, *mutators))


def _region(shape: Shape, conditions: Conditions, space: int, place: int) -> Region:
    """The last `files` regions of a space are of the other kinds."""
    start = BASES[conditions.mode] + space * SPACE_PITCH + place * shape.pitch
    number = place - (shape.regions - shape.files)
    if number < 0:
        return Region(space=space, start=start, pages=shape.pages)
    kind, perm, vmflags = KINDS[number % len(KINDS)]
    file, pgoff = (None, 0) if vmflags else (FILE, FILE_PAGE - shape.pages // 2)
    return Region(space=space, start=start, pages=shape.pages, kind=kind, perm=perm, vmflags=vmflags, file=file, pgoff=pgoff)


def _faults(rng: Random, shape: Shape, regions: int, count: int) -> tuple[Action, ...]:
    return tuple(
        Action(do="fault", region=rng.randrange(regions), first=rng.randrange(shape.pages), access=rng.choice(ACCESSES), flags=rng.choice(FLAGS))
        for _ in range(count)
    )


def _operations(rng: Random, shape: Shape, regions: int) -> tuple[Action, ...]:
    """A mutator's actions: on all of a region, or a part."""
    kinds = ["age", "age", "protect", "protect all", "protect all", "protect all", "discard"]
    if not shape.aging:
        kinds = ["protect", "protect", "protect all", "discard", "unmap", "map", "map"]
    if shape.sections:
        kinds = ["mlock"] * 2 + ["bump"] * 6 + ["discard all", "discard all", "discard all", "unmap all", "map", "map", "age"]
    if shape.flushes:
        kinds = ["invalidate"] * 4 + ["discard all"]
    kinds = kinds * 4 + [
        "invalidate",
        *["fork"] * 6 * shape.forks,
        *["move"] * 8 * shape.moves,
        *["evict", "evict", "evict", "lock"] * bool(shape.files),
    ]
    return tuple(_operation(rng, shape, regions, rng.choice(kinds)) for _ in range(MUTATORS_ACTIONS))


def _operation(rng: Random, shape: Shape, regions: int, kind: str) -> Action:
    region, first = rng.randrange(regions), rng.randrange(shape.pages)
    pages = rng.randrange(first, shape.pages) + 1 - first
    if kind in ("protect all", "discard all", "unmap all", "age", "map"):
        first, pages = 0, shape.pages
    elif kind == "bump":
        pages = rng.randrange(MOST_BUMPS) + 1
    elif kind == "invalidate" and shape.flushes:
        pages *= rng.randrange(2)
    child = _faults(rng, shape, regions, CHILD_FAULTS) if kind == "fork" else ()
    return Action(
        do=kind.removesuffix(" all"), region=region, first=first, pages=pages, pause_ns=rng.randrange(shape.pause_ns + 1), perm=rng.choice(PERMS),
        child=child,
    )  # fmt: skip
