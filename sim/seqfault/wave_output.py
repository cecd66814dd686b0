"""Where a recorded waveform goes, with golden's view of the run beside it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .errors import SeqfaultError, UsageError
from .output import OutputFile

__all__ = ["check_wave_name", "wave_output"]

FORMATS = (".vcd", ".fst")


def check_wave_name(path: Path | None) -> None:
    """Raises `UsageError` for a name that no waveform can have."""
    if path is not None and path.suffix not in FORMATS:
        raise UsageError(f"--waves: {path} must end in {' or '.join(FORMATS)}")


@contextmanager
def wave_output(path: Path | None) -> Iterator[Path | None]:
    """Where the simulation writes the waveform. It is kept whatever the verdict, as soon as there is anything in it; a VCD gets names.

    Golden's view of the run, which the simulation leaves beside it, is kept with it.
    """
    if path is None:
        yield None
        return
    from .vcd_names import annotate_vcd
    from .waves import EVENT_ENUMS
    from .waves_golden import golden_file, keep_golden

    with ExitStack() as stack:
        file = stack.enter_context(OutputFile(path))
        temporary = file.temporary

        def keep() -> None:
            if not temporary.stat().st_size:
                golden_file(temporary).unlink(missing_ok=True)
                return
            if path.suffix == ".vcd":
                with suppress(SeqfaultError):  # a simulation that died may leave no whole header; what it left is kept as it is
                    annotate_vcd(temporary, EVENT_ENUMS)
            file.commit()
            keep_golden(temporary, path)

        stack.callback(keep)
        yield temporary
