"""Who runs the cases of a regression: processes of this machine, or the workers of a Dask cluster. Results come as they are done."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from .errors import CheckFailed, EnvironmentLacks
from .regress_case import run_case
from .regress_plan import Case, case_name

__all__ = ["run_here", "run_on_cluster"]

Run = Callable[[Case], dict[str, Any]]
Done = tuple[int, dict[str, Any]]
"""Number of the case, and its result."""
TICK = 1.0
CONNECT_SECONDS, LONELY_SECONDS = 10, 60
"""How long a scheduler may take to answer, and how long a cluster may be without any worker."""
FAILED = ("error", "cancelled")
ENDED = ("finished", *FAILED)
"""States of a future; one whose worker was lost with the result is "pending" or "lost" until another has run it again."""
MOST_LOSSES = 3
"""Workers that may be lost with the same case."""


def run_here(cases: Sequence[Case], jobs: int, *, run: Run = run_case) -> Iterator[Done]:
    """As many at a time as `jobs`. Yields nothing new for `TICK` seconds at the most: then (-1, {}), so that a display can move on.

    Raises `CheckFailed` when a process was killed.
    """
    with ProcessPoolExecutor(max_workers=jobs, mp_context=get_context("spawn")) as pool:
        numbers: dict[Future[dict[str, Any]], int] = {pool.submit(run, case): number for number, case in enumerate(cases)}
        try:
            while numbers:
                ready, _ = wait(numbers, timeout=TICK, return_when=FIRST_COMPLETED)
                for future in ready:
                    number = numbers.pop(future)
                    try:
                        yield number, future.result()
                    except BrokenProcessPool:
                        raise CheckFailed(f"a process was killed while it ran {case_name(cases[number])}") from None
                if not ready:
                    yield -1, {}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def run_on_cluster(cases: Sequence[Case], address: str, *, run: Run = run_case) -> Iterator[Done]:
    """The same on a Dask cluster. A case whose worker is lost goes to another one; what is done stays done.

    Raises `EnvironmentLacks` for a scheduler that does not answer, and when for a minute there has been no worker.
    """
    import distributed

    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EnvironmentLacks(f"no Dask scheduler answers at {address} ({error}); `dask scheduler` starts one") from None
    with client:
        numbers = {future: number for number, future in enumerate(client.map(run, cases, pure=False, retries=MOST_LOSSES))}
        seen = time.monotonic()
        try:
            while numbers:
                ready = [future for future in numbers if future.status in ENDED]
                for future in ready:
                    number = numbers.pop(future)
                    yield number, _result(future, cases[number])
                if ready or client.scheduler_info(n_workers=1)["workers"]:
                    seen = time.monotonic()
                elif time.monotonic() - seen > LONELY_SECONDS:
                    raise EnvironmentLacks(f"the cluster at {address} has had no worker for {LONELY_SECONDS} s; `dask worker {address}` starts one")
                if numbers and not ready:
                    time.sleep(TICK / 4)
                    yield -1, {}
        finally:
            client.cancel(list(numbers))


def _result(future: Any, case: Case) -> dict[str, Any]:
    if future.status in FAILED:
        raise CheckFailed(f"{case_name(case)} was not finished by the cluster: {future.exception()}")
    result: dict[str, Any] = future.result()
    return result
