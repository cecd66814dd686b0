"""Reads translation vectors: page walks that an independent simulator computed. [formats.md, Vectors; data/vectors.md]

One NumPy .npz file for each paging mode: images (sets of page-table entries) and walks in them with the expected result.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqfault_golden import Access, PagingMode

from .errors import UsageError

__all__ = ["Control", "Update", "Vector", "VectorError", "VectorSet", "load_vectors", "packaged_vectors"]

SUFFIX = ".npz"
ZIP_START = b"PK"
DATA = Path(__file__).parent / "data"
STATUSES = 3
TRANSLATED = 0
MAX_LIMIT = 1 << 56
"""First physical address that no memory has."""
ARRAYS = (
    "mode", "limit", "tags", "img", "satp", "va", "ctl", "tag", "status", "cause", "pa", "nread", "reads", "wr_addr", "wr_val", "img_off",
    "img_addr", "img_val",
)  # fmt: skip
"""What a file must hold; one that says who confirmed a vector (`confirm`) is not looked at."""
PER_VECTOR = ("img", "satp", "va", "ctl", "tag", "status", "cause", "pa", "nread", "wr_addr", "wr_val")


class VectorError(UsageError):
    """The vectors cannot be read; the message is one line that says where and why."""


class Control(NamedTuple):
    """What a walk depends on beside the address: the access, and the fields of mstatus and menvcfg."""

    access: Access
    supervisor: bool
    sum: bool
    mxr: bool
    adue: bool
    pbmte: bool
    napot: bool

    @classmethod
    def decode(cls, bits: int) -> "Control":
        """From an element of `ctl`."""
        return cls(Access(bits & 3), *(bool(bits >> bit & 1) for bit in range(2, 8)))

    def __str__(self) -> str:
        names = [name.upper() for name in self._fields[2:] if getattr(self, name)]
        return " ".join([self.access.name.lower(), "S-mode" if self.supervisor else "U-mode", *names])


class Update(NamedTuple):
    """An entry's new value because A or D was set."""

    address: int
    value: int


class Vector(NamedTuple):
    """One walk: where it starts, and what an independent simulator says of it.

    `root`: page number of the root table. `status`: 0 translated, 1 page fault, 2 access fault; `cause`: exception number. `reads`: byte
    addresses of the entries read, in order. `update`: the entry that the walk wrote.
    """

    number: int
    image: int
    root: int
    va: int
    control: Control
    tag: str
    status: int
    cause: int
    pa: int
    reads: tuple[int, ...]
    update: Update | None


@dataclass(frozen=True, kw_only=True)
class VectorSet:
    """The vectors of one file.

    Attributes
    ----------
    limit : an access at or above this byte address is an access fault; other memory reads 0.
    images : entries (PTESIZE bytes) by byte address; every vector starts from its untouched image.
    digest : hash of all that the file says of these vectors.
    """

    name: str
    mode: PagingMode
    limit: int
    images: list[dict[int, int]]
    vectors: list[Vector]
    digest: str


def packaged_vectors() -> list[str]:
    """Names of the sets that come with the package."""
    return sorted(path.name.removesuffix(SUFFIX) for path in DATA.glob(f"*{SUFFIX}"))


def load_vectors(path_or_name: str | Path, limit: int | None = None) -> VectorSet:
    """Read vectors: a path, or the name of a packaged set; `limit` keeps the first N.

    Raises `VectorError`: not found, not an .npz file, cut off, arrays missing or ill-shaped, values out of range.
    """
    path = _find(path_or_name)
    try:
        with path.open("rb") as start:
            if start.read(len(ZIP_START)) != ZIP_START:
                raise VectorError(f"{path}: not an .npz file")
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise VectorError(f"{path}: array(s) missing: {', '.join(missing)}")
            arrays = {name: np.asarray(file[name]) for name in ARRAYS}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise VectorError(f"{path}: the .npz file is cut off or damaged") from None
    except ValueError as error:
        raise VectorError(f"{path}: holds arrays that NumPy does not read ({' '.join(str(error).split())[:80]})") from None
    except OSError as error:
        raise VectorError(f"{path}: cannot be read ({error.strerror or error})") from None
    return _Reader(path, arrays).read(limit)


def _find(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if path.is_file():
        return path
    packaged = DATA / f"{path_or_name}{SUFFIX}"
    if path.name == str(path_or_name) and packaged.is_file():
        return packaged
    if path.is_dir():
        raise VectorError(f"{path}: is a folder")
    raise VectorError(f"{path_or_name}: no such file, and no vectors of that name come with the package ({', '.join(packaged_vectors())})")


class _Reader:
    """Checks the arrays of one file and makes vectors of them."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        self._path, self._arrays = path, arrays

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise VectorError(f"{self._path}: {what}")

    def read(self, limit: int | None) -> VectorSet:
        arrays = self._arrays
        mode = self._mode()
        self._check_shapes()
        self._check_ranges(mode)
        lists = {name: arrays[name][:limit].tolist() for name in PER_VECTOR}
        tags = [str(tag) for tag in arrays["tags"]]
        root_mask = (1 << (22 if mode is PagingMode.SV32 else 44)) - 1
        reads, first = arrays["reads"].tolist(), 0
        vectors = []
        for number, (img, satp, va, ctl, tag, status, cause, pa, nread, wr_addr, wr_val) in enumerate(zip(*lists.values(), strict=True)):
            update = Update(wr_addr, wr_val) if wr_addr else None
            own = tuple(reads[first : first + nread])
            first += nread
            vectors.append(Vector(number, img, satp & root_mask, va, Control.decode(ctl), tags[tag], status, cause, pa, own, update))
        return VectorSet(
            name=self._path.name.removesuffix(SUFFIX), mode=mode, limit=int(arrays["limit"].item()), images=self._images(), vectors=vectors,
            digest=self._digest(len(vectors)),
        )  # fmt: skip

    def _mode(self) -> PagingMode:
        mode = self._arrays["mode"]
        name = str(mode.item()).upper() if mode.size == 1 else ""
        self._require(name in PagingMode.__members__, f"mode must be one of sv32, sv39, sv48, sv57, not {str(mode)[:40]!r}")
        return PagingMode[name]

    def _check_shapes(self) -> None:
        for name in ARRAYS:
            array = self._arrays[name]
            if name in ("mode", "tags"):
                continue
            self._require(array.dtype.kind in "iu", f"{name} must hold integers, not {array.dtype}")
            self._require(array.ndim == 1, f"{name} must have one dimension, not {array.ndim}")
            self._require(not array.size or int(array.min()) >= 0, f"{name} has a negative number")
        self._require(self._arrays["tags"].ndim == 1, "tags must have one dimension")
        self._require(self._arrays["limit"].size == 1, "limit must be one number")
        count = len(self._arrays["va"])
        self._require(count > 0, "holds no vectors")
        for name in PER_VECTOR:
            self._require(len(self._arrays[name]) == count, f"{name} has {len(self._arrays[name])} elements, va has {count}")
        entries = len(self._arrays["img_addr"])
        self._require(len(self._arrays["img_val"]) == entries, f"img_val has {len(self._arrays['img_val'])} elements, img_addr has {entries}")

    def _check_ranges(self, mode: PagingMode) -> None:
        arrays = self._arrays
        offsets = arrays["img_off"].astype(np.int64)
        self._require(len(offsets) > 0 and bool((np.diff(offsets) >= 0).all()), "img_off must ascend")
        entries, most = len(arrays["img_addr"]), arrays["nread"].max()
        self._require(int(offsets[-1]) <= entries, f"img_off goes up to {offsets[-1]}, img_addr has {entries} elements")
        for name, bound, of in (
            ("img", len(offsets) - 1, "images"), ("tag", len(arrays["tags"]), "tags"), ("status", STATUSES, "statuses"), ("ctl", 256, "values"),
        ):  # fmt: skip
            self._require(int(arrays[name].max()) < bound, f"{name} has the number {arrays[name].max()}, there are {bound} {of}")
        self._require(int((arrays["ctl"] & 3).max()) < len(Access), "ctl has the access 3, which means nothing")
        total = int(arrays["nread"].astype(np.int64).sum())
        self._require(total <= len(arrays["reads"]), f"nread adds up to {total} reads, reads has {len(arrays['reads'])} elements")
        self._require(int(most) <= mode.levels, f"nread has the number {most}, {mode.name.capitalize()} has {mode.levels} levels")
        self._require(0 < int(arrays["limit"].item()) <= MAX_LIMIT, f"limit must be at most 2^56, not {arrays['limit'].item():#x}")
        for name in ("img_addr", "reads", "wr_addr"):
            self._require(not (arrays[name] % mode.ptesize).any(), f"{name} has an address that is no multiple of {mode.ptesize}")
        widest = max(int(array.max(initial=0)) for array in (arrays["img_val"], arrays["wr_val"]))
        self._require(widest < 1 << 8 * mode.ptesize, f"an entry of {mode.name.capitalize()} has {mode.ptesize} bytes, {widest:#x} has more")

    def _images(self) -> list[dict[int, int]]:
        offsets = self._arrays["img_off"].tolist()
        addresses, values = self._arrays["img_addr"].tolist(), self._arrays["img_val"].tolist()
        return [dict(zip(addresses[o:p], values[o:p], strict=True)) for o, p in pairwise(offsets)]

    def _digest(self, count: int) -> str:
        digest = hashlib.sha256(str(count).encode())
        for name in ARRAYS:
            array = self._arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:20]
