"""Vector files: what is read, what is refused and how, and how short sets are made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfault.cli import run_command
from seqfault.vector_choice import OF_A_KIND, choose, shorten
from seqfault.vectors import ARRAYS, DATA, VectorError, load_vectors

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def arrays() -> Arrays:
    with np.load(DATA / "sv39.npz") as file:
        return dict(file)


def test_a_vector_says_all_that_the_file_says(arrays: Arrays) -> None:
    vectors = load_vectors("sv39")
    assert (vectors.name, vectors.mode.name, len(vectors.vectors)) == ("sv39", "SV39", len(arrays["va"]))
    number = int(np.flatnonzero(arrays["wr_addr"])[0])
    vector, control = vectors.vectors[number], int(arrays["ctl"][number])
    assert (vector.number, vector.va, vector.pa) == (number, arrays["va"][number], arrays["pa"][number])
    assert vector.root == int(arrays["satp"][number]) & (1 << 44) - 1
    assert vector.update == (arrays["wr_addr"][number], arrays["wr_val"][number])
    assert [vector.control.access, *vector.control[1:]] == [control & 3, *(bool(control >> bit & 1) for bit in range(2, 8))]
    assert sum(len(vector.reads) for vector in vectors.vectors) == len(arrays["reads"])
    assert vector.reads == tuple(arrays["reads"][int(arrays["nread"][:number].sum()) :][: arrays["nread"][number]])


def test_limit_and_digest() -> None:
    assert [vector.number for vector in load_vectors("sv32", limit=3).vectors] == [0, 1, 2]
    digests = {load_vectors(name, limit=limit).digest for name in ("sv32", "sv39") for limit in (3, 4, None)}
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda a: a.pop("reads"), "array(s) missing: reads"),
        (lambda a: a.update(img=a["img"] + 10_000), "img has the number"),
        (lambda a: a.update(tag=a["tag"] + 100), "tag has the number"),
        (lambda a: a.update(status=a["status"] + 2), "status has the number"),
        (lambda a: a.update(ctl=a["ctl"] | 3), "access 3"),
        (lambda a: a.update(nread=a["nread"] + 3), "nread"),
        (lambda a: a.update(reads=a["reads"][:-1]), "nread adds up to"),
        (lambda a: a.update(reads=a["reads"] | 1), "no multiple of 8"),
        (lambda a: a.update(img_off=a["img_off"][::-1]), "img_off must ascend"),
        (lambda a: a.update(img_addr=a["img_addr"][:-1]), "img_val has"),
        (lambda a: a.update(img_addr=a["img_addr"][:-1], img_val=a["img_val"][:-1]), "img_off goes up to"),
        (lambda a: a.update(va=a["va"][:-1]), "img has"),
        (lambda a: a.update(va=a["va"].astype(float)), "va must hold integers"),
        (lambda a: a.update(va=a["va"].reshape(1, -1)), "one dimension"),
        (lambda a: a.update(satp=np.full(len(a["va"]), -1)), "negative"),
        (lambda a: a.update(mode=np.array("sv64")), "mode must be one of"),
        (lambda a: a.update(limit=np.array([1 << 60])), "limit must be"),
        (lambda a: a.update(mode=np.array("sv32")), "Sv32 has 2 levels"),
        (lambda a: a.update(mode=np.array("sv32"), nread=np.minimum(a["nread"], 2)), "has 4 bytes"),
        (lambda a: a.update(va=np.array([object()])), "NumPy does not read"),
        (lambda a: a.update({name: a[name][:0] for name in ARRAYS if name not in ("mode", "limit", "tags")}), "no vectors"),
    ],
)
def test_arrays_that_make_no_vectors(arrays: Arrays, tmp_path: Path, change: Callable[[Arrays], Any], complaint: str) -> None:
    change(arrays)
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(VectorError) as refusal:
        load_vectors(path)
    assert complaint in str(refusal.value)


def _npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(3))


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda path: path.write_text("not at all"), "not an .npz file"),
        (lambda path: path.write_bytes(b""), "not an .npz file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "no such file, and no vectors of that name come with the package (sv32, sv39, sv48, sv57)"),
        (lambda path: path.write_bytes((DATA / "sv39.npz").read_bytes()[:20_000]), "cut off or damaged"),
        (lambda path: path.write_bytes((DATA / "sv39.npz").read_bytes().replace(b"NUMPY", b"NUMPI")[:-1]), "cut off or damaged"),
        (_npy, "not an .npz file"),
    ],
)
def test_bad_file_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], Any], complaint: str) -> None:
    path = tmp_path / "bad.npz"
    write(path)
    for engine in ("rtl", "golden"):
        assert run_command(["walk", str(path), "--engine", engine]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert complaint in printed.err
        assert len(printed.err.splitlines()) == 1


def test_damage_inside_is_noticed(tmp_path: Path) -> None:
    content = bytearray((DATA / "sv39.npz").read_bytes())
    content[5000:5100] = bytes(100)
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    with pytest.raises(VectorError, match="damaged"):
        load_vectors(path)


def test_short_set_of_a_short_set_is_the_same(tmp_path: Path) -> None:
    short, again = load_vectors("sv32"), tmp_path / "again.npz"
    assert shorten(DATA / "sv32.npz", again) == len(short.vectors)
    assert load_vectors(again).digest == short.digest
    twice = [vector for vector in short.vectors for _ in range(2)]
    assert len(short.vectors) < len(choose(twice)) < len(twice)
    assert OF_A_KIND > 1
