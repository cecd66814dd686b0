"""`seqfault.output`: a file is there complete or not at all, and a place that cannot be written is found out first."""

import os
from pathlib import Path

import pytest

from seqfault.errors import UsageError
from seqfault.output import OutputFile, write_files


def test_the_content_appears_at_commit_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with OutputFile(path) as file:
        assert not path.exists()
        assert file.temporary.suffix == ".json"
        file.write_text("1")
    assert path.read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


def test_without_commit_the_old_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with OutputFile(path) as file:
        file.temporary.write_text("half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_modes_are_those_of_an_ordinary_file_or_of_the_one_replaced(tmp_path: Path) -> None:
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    plain.touch()
    kept.touch()
    kept.chmod(0o640)
    for path in (tmp_path / "new", kept):
        with OutputFile(path) as file:
            file.write_text("x")
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode
    assert kept.stat().st_mode & 0o777 == 0o640


def test_a_link_is_followed_and_a_device_written_directly(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with OutputFile(link) as file:
        file.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    with OutputFile(Path(os.devnull)) as file:
        file.write_text("gone")
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("place", ["missing/a.json", ".", "file/a.json"])
def test_places_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        OutputFile(tmp_path / place)


def test_several_files_are_all_there_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    assert write_files(folder, {"a": "1", "b": "2"}) == [folder / "a", folder / "b"]
    (folder / "c").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        write_files(folder, {"a": "changed", "c": "3"})
    assert (folder / "a").read_text() == "1"
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "c"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write into"):
        write_files(tmp_path / "file" / "out", {"a": "1"})
