"""Who runs the cases of a regression: processes of this machine, or the workers of a Dask cluster. Results come as they are done."""

import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from .errors import CheckFailed, EnvironmentLacks, UsageError
from .regress_case import run_case
from .regress_plan import Case, case_name

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["run_here", "run_on_cluster"]

Run = Callable[[Case], dict[str, Any]]
Done = tuple[int, dict[str, Any]]
"""Number of the case, and its result."""
TICK = 1.0
CONNECT_SECONDS, LONELY_SECONDS = 10, 60
"""How long a scheduler may take to answer, and how long a cluster may be without any worker."""
ENDED = ("finished", "error")
"""States of a future; one whose worker was lost with the result is "pending" or "lost" until another has run it again."""


def run_here(cases: Sequence[Case], jobs: int, *, run: Run = run_case) -> Iterator[Done]:
    """As many at a time as `jobs`. Yields nothing new for `TICK` seconds at the most: then (-1, {}), so that a display can move on.

    The processes and their simulators end with the generator, with SIGINT and SIGTERM (a `KeyboardInterrupt` too), and with this process.
    Raises `CheckFailed` when a process was killed.
    """
    context = get_context("spawn")
    waiting = iter(enumerate(cases))
    running: dict[Future[dict[str, Any]], tuple[ProcessPoolExecutor, int]] = {}

    def begin(pool: ProcessPoolExecutor) -> None:
        for number, case in waiting:
            running[pool.submit(run, case)] = pool, number
            break

    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="seqfault-regress-", ignore_cleanup_errors=True))
        lifeline, held = context.Pipe(duplex=False)
        stack.enter_context(lifeline)
        # each has a pool of its own: so it is known whose case was lost
        pools = [ProcessPoolExecutor(1, context, initializer=_end_with, initargs=(lifeline, scratch)) for _ in range(min(jobs, len(cases)))]
        for pool in pools:
            stack.enter_context(pool)
        stack.enter_context(_interrupted_by_signals(held.close))
        stack.enter_context(held)  # closed before the pools are, which wait for their processes
        for pool in pools:
            begin(pool)
        while running:
            ready, _ = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
            for future in ready:
                pool, number = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    raise CheckFailed(f"a process was killed while it ran {case_name(cases[number])}") from None
                begin(pool)
                yield number, result
            if not ready:
                yield -1, {}


def _end_with(lifeline: Connection, scratch: str) -> None:
    """In a new process: it and what it starts end when the other end of `lifeline` is closed; their temporary files are in `scratch`."""

    def follow() -> None:
        lifeline.poll(None)
        os.killpg(0, signal.SIGKILL)

    os.setpgrp()
    tempfile.tempdir = scratch
    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _interrupted_by_signals(at_once: Callable[[], object] = lambda: None) -> Iterator[None]:
    """SIGTERM does what Ctrl-C does; both do `at_once` first: a `KeyboardInterrupt` may be raised where nobody closes the generator."""

    def stop(*_: object) -> None:
        at_once()
        raise KeyboardInterrupt

    old = {}
    if threading.current_thread() is threading.main_thread():
        old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def run_on_cluster(cases: Sequence[Case], address: str, *, run: Run = run_case) -> Iterator[Done]:
    """The same on a Dask cluster. A case whose worker is lost goes to another one; what is done stays done.

    How many workers may be lost with one case is up to the scheduler (`distributed.scheduler.allowed-failures`). When this ends early, workers
    finish the case that they are at.
    Raises `UsageError` for what is no address, `CheckFailed` for a case that took too many workers with it, and `EnvironmentLacks` for a scheduler
    that does not answer or is lost, and when for a minute there has been no worker.
    """
    import distributed
    from distributed.utils import silence_logging_cmgr

    _check_address(address)
    with _interrupted_by_signals(), silence_logging_cmgr(logging.CRITICAL):
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise EnvironmentLacks(f"no Dask scheduler answers at {address} ({error}); `dask scheduler` starts one") from None
        with client:
            try:
                yield from _gathered(client, cases, address, run)
            except (OSError, CancelledError):
                raise _gone(address) from None


def _check_address(address: str) -> None:
    from distributed.comm.addressing import get_address_host_port

    try:
        host, port = get_address_host_port(address)
        if not host or not 0 < port < 1 << 16:
            raise ValueError("it needs a host and a port")
    except ValueError as error:
        raise UsageError(f"--scheduler: {address!r} is no address like tcp://127.0.0.1:8786: {error}") from None


def _gone(address: str) -> EnvironmentLacks:
    return EnvironmentLacks(f"the scheduler at {address} is gone")


def _gathered(client: "Client", cases: Sequence[Case], address: str, run: Run) -> Iterator[Done]:
    """The results of the connected cluster. Raises `OSError` or `CancelledError` when the connection breaks."""
    numbers = {future: number for number, future in enumerate(client.map(run, cases, pure=False, retries=0))}
    seen = time.monotonic()
    try:
        while numbers:
            ready = [future for future in numbers if future.status in ENDED]
            for future in ready:
                number = numbers.pop(future)
                yield number, _result(future, cases[number])
            if client.status != "running" or any(future.status == "cancelled" for future in numbers):
                raise _gone(address)
            if ready or client.scheduler_info(n_workers=1)["workers"]:
                seen = time.monotonic()
            elif time.monotonic() - seen > LONELY_SECONDS:
                raise EnvironmentLacks(f"the cluster at {address} has had no worker for {LONELY_SECONDS} s; `dask worker {address}` starts one")
            if numbers and not ready:
                time.sleep(TICK / 4)
                yield -1, {}
    finally:
        if client.status == "running":
            with suppress(OSError):
                client.cancel(list(numbers))


def _result(future: Any, case: Case) -> dict[str, Any]:
    from distributed import KilledWorker

    try:
        result: dict[str, Any] = future.result()
    except KilledWorker as error:
        raise CheckFailed(f"{case_name(case)} was not finished by the cluster: {error.allowed_failures + 1} workers died while they ran it") from None
    except CancelledError:
        raise
    except Exception as error:
        raise CheckFailed(f"{case_name(case)} was not finished by the cluster: {error}") from None
    return result
