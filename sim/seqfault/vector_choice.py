"""Makes a short set of vectors from a long one: `python -m seqfault.vector_choice LONG.npz SHORT.npz`. How data/*.npz were made.

The rule: of each kind of vector (tag, status, access, whether A or D is written, number of reads) the first `OF_A_KIND` in the order of the
file; of their images the entries that they read (other memory reads 0).
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from .errors import SeqfaultError
from .output import OutputFile
from .vectors import ARRAYS, PER_VECTOR, Vector, load_vectors

__all__ = ["choose", "shorten"]

OF_A_KIND = 3
KEPT = (*ARRAYS, "confirm")


def choose(vectors: list[Vector]) -> list[Vector]:
    """The vectors of a short set."""
    seen: Counter[tuple[Any, ...]] = Counter()
    chosen = []
    for vector in vectors:
        kind = (vector.tag, vector.status, vector.control.access, vector.update is None, len(vector.reads))
        seen[kind] += 1
        if seen[kind] <= OF_A_KIND:
            chosen.append(vector)
    return chosen


def shorten(source: Path, target: Path) -> int:
    """Write the short set of `source` to `target`; returns its number of vectors. Raises `VectorError`, `UsageError`."""
    long = load_vectors(source)
    chosen = choose(long.vectors)
    rows = [vector.number for vector in chosen]
    with np.load(source, allow_pickle=False) as file:
        arrays = {name: np.asarray(file[name]) for name in KEPT if name in file.files}
    types = {name: array.dtype for name, array in arrays.items()}
    used = sorted({vector.image for vector in chosen})
    arrays |= {name: arrays[name][rows] for name in (*PER_VECTOR, "confirm") if name in arrays}
    arrays["img"] = np.searchsorted(used, arrays["img"]).astype(types["img"])
    arrays["reads"] = np.array([address for vector in chosen for address in vector.reads], types["reads"])
    read: dict[int, set[int]] = {}
    for vector in chosen:
        read.setdefault(vector.image, set()).update(vector.reads)
    entries = [sorted(read[image] & long.images[image].keys()) for image in used]
    arrays["img_off"] = np.cumsum([0, *map(len, entries)]).astype(types["img_off"])
    arrays["img_addr"] = np.array([address for addresses in entries for address in addresses], types["img_addr"])
    values = [long.images[image][address] for image, addresses in zip(used, entries, strict=True) for address in addresses]
    arrays["img_val"] = np.array(values, types["img_val"])
    with OutputFile(target) as output:
        np.savez_compressed(output.temporary, **arrays)  # type: ignore[arg-type]
        output.commit()
    return len(chosen)


if __name__ == "__main__":
    try:
        print(f"{shorten(Path(sys.argv[1]), Path(sys.argv[2]))} vectors")
    except (IndexError, SeqfaultError) as error:
        sys.exit(str(error) if isinstance(error, SeqfaultError) else __doc__.splitlines()[0])
