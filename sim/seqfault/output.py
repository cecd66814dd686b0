"""Output files that are either complete or not there: written beside their place under another name, then renamed."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from .errors import UsageError

__all__ = ["OutputFile", "optional_file", "write_files"]


class OutputFile:
    """A file to be written later. Making it proves that the place can be written; `commit` puts the content there at once.

    As a context manager it removes its temporary file when it was not committed.

    Parameters
    ----------
    path : where the content goes. A symbolic link is followed; a device (`/dev/null`) or a pipe is written directly.

    Members
    -------
    temporary : the file to write before `commit`, in the same folder, with the same suffix.

    Raises
    ------
    UsageError : `path` is a folder, its folder does not exist, or it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        target = Path(os.path.realpath(self.path))
        self._target = target
        self.temporary = target
        self._direct = target.exists() and not target.is_file()
        if target.is_dir():
            raise UsageError(f"cannot write {self.path}: it is a folder")
        if target.exists() and not os.access(target, os.W_OK):
            raise UsageError(f"cannot write {self.path}: permission denied")
        if self._direct:
            return
        try:
            handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from None
        os.close(handle)
        self.temporary = Path(name)

    def __enter__(self) -> "OutputFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.discard()

    def write_text(self, text: str) -> None:
        """Write `text` and commit. Raises `UsageError` when the disk refuses it."""
        try:
            self.temporary.write_text(text)
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from None
        self.commit()

    def commit(self) -> None:
        """Put the temporary file in its place, with the mode a new file would have (or that of the file it replaces)."""
        if self._direct:
            return
        if self._target.exists():
            mode = stat.S_IMODE(self._target.stat().st_mode)
        else:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        self.temporary.chmod(mode)
        self.temporary.replace(self._target)
        self.temporary = self._target

    def discard(self) -> None:
        """Remove the temporary file, unless committed."""
        if not self._direct and self.temporary != self._target:
            self.temporary.unlink(missing_ok=True)


@contextmanager
def optional_file(path: Path | None) -> Iterator[OutputFile | None]:
    """A file to be written at the end, proved writable before the work begins; None for none."""
    if path is None:
        yield None
        return
    with OutputFile(path) as file:
        yield file


def write_files(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Write several files into `folder` (made if needed): all are written before the first is put in its place. Returns their paths.

    Raises `UsageError` when the folder cannot be made or written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from None
    files: list[OutputFile] = []
    try:
        for name, text in texts.items():
            file = OutputFile(folder / name)
            files.append(file)
            file.temporary.write_text(text)
        for file in files:
            file.commit()
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from None
    finally:
        for file in files:
            file.discard()
        if made and not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
    return [file.path for file in files]
