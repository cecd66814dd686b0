"""Who runs the cases: processes here, and a Dask cluster with two workers on this machine, of which one is lost."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import distributed
import pytest

from seqfault import regress_workers
from seqfault.errors import CheckFailed, EnvironmentLacks
from seqfault.regress_workers import run_here, run_on_cluster

CASES = [{"seed": seed, "profile": "mixed", "preset": "small"} for seed in range(12)]
SEEDS = list(range(len(CASES)))


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import worker_cases

    return worker_cases


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        client = distributed.Client(made)
        client.upload_file(str(Path(__file__).with_name("worker_cases.py")))
        yield made
        client.close()


def gather(done: Iterator[tuple[int, dict[str, Any]]]) -> dict[int, dict[str, Any]]:
    results = {}
    for number, result in done:
        if number >= 0:
            assert number not in results, "a result comes once"
            results[number] = result
    return results


def test_processes_here(cases: ModuleType) -> None:
    results = gather(run_here(CASES, 2, run=cases.answer))
    assert [results[number]["seed"] for number in SEEDS] == SEEDS
    assert len({result["worker"] for result in results.values()}) == 2


def test_a_process_that_is_killed_is_named(cases: ModuleType) -> None:
    with pytest.raises(CheckFailed, match=r"a process was killed while .*mixed seed \d+, small"):
        gather(run_here(CASES, 1, run=cases.die))


def test_a_cluster(cases: ModuleType, cluster: distributed.LocalCluster) -> None:
    results = gather(run_on_cluster(CASES, cluster.scheduler_address, run=cases.answer))
    assert [results[number]["seed"] for number in SEEDS] == SEEDS
    assert len({result["worker"] for result in results.values()}) == 2


def test_a_lost_worker_loses_no_result(cases: ModuleType, cluster: distributed.LocalCluster) -> None:
    results: dict[int, dict[str, Any]] = {}
    lost = 0
    for number, result in run_on_cluster(CASES, cluster.scheduler_address, run=cases.answer):
        if number >= 0:
            results[number] = result
            if not lost:
                lost = result["worker"]
                os.kill(lost, signal.SIGKILL)
    assert [results[number]["seed"] for number in SEEDS] == SEEDS
    assert any(result["worker"] != lost for result in results.values())


def test_a_case_that_cannot_be_run_is_named(cases: ModuleType, cluster: distributed.LocalCluster) -> None:
    with pytest.raises(CheckFailed, match="mixed seed 0, small was not finished by the cluster: no such thing"):
        gather(run_on_cluster(CASES[:1], cluster.scheduler_address, run=cases.fail))


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regress_workers, "LONELY_SECONDS", 1)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty, pytest.raises(EnvironmentLacks, match="has had no worker for 1 s"):
        gather(run_on_cluster(CASES, empty.scheduler_address))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(regress_workers, "CONNECT_SECONDS", 1)
    with pytest.raises(EnvironmentLacks, match=f"no Dask scheduler answers at {address}"):
        gather(run_on_cluster(CASES, address))
