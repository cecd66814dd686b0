"""Who runs the cases: processes here, and a Dask cluster with two workers on this machine, of which one is lost. And how a run ends early."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import distributed
import psutil
import pytest

from seqfault import regress_workers
from seqfault.cli import INTERRUPTED, run_command
from seqfault.engine_model import HARNESS_TOP
from seqfault.errors import CheckFailed, EnvironmentLacks
from seqfault.regress_workers import run_here, run_on_cluster

CASES = [{"seed": seed, "profile": "mixed", "preset": "small"} for seed in range(12)]
SEEDS = list(range(len(CASES)))
REGRESS = [sys.executable, "-m", "seqfault.cli", "regress"]
SHARED = ["--preset", "small", "--set", "svadu=true", "--plant", "NONE"]
"""The configuration of tests/tb/stress_model.py, whose build is used."""
AT_ONCE = 5.0
"""Seconds in which everything ends, where others are busy too; it is less than one."""


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import worker_cases

    return worker_cases


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as made:
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


def soon(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What it returns when that is something, or in the end."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


def alive(processes: Sequence[int]) -> list[int]:
    """Those that run; who is dead and has no parent that asks is not among them."""
    running = []
    for pid in processes:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
    return running


def simulators(process: int) -> list[int]:
    """The simulators that a process and its children have started."""
    try:
        return [child.pid for child in psutil.Process(process).children(recursive=True) if Path(child.exe()).name == HARNESS_TOP]
    except psutil.Error:  # one has just ended
        return []


def test_processes_here(cases: ModuleType) -> None:
    results = gather(run_here(CASES, 2, run=cases.answer))
    assert [results[number]["seed"] for number in SEEDS] == SEEDS
    assert len({result["worker"] for result in results.values()}) == 2


def test_the_case_whose_process_is_killed_is_named(cases: ModuleType) -> None:
    with pytest.raises(CheckFailed, match=r"a process was killed while it ran mixed seed 3, small$"):
        gather(run_here(CASES, 4, run=cases.die))


@pytest.fixture(autouse=True)
def sigint() -> Iterator[None]:
    """Processes that are started here hear it, also where it is ignored because the tests were started in the background."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


@pytest.mark.parametrize(
    ("number", "where"), [(signal.SIGINT, "inside"), (signal.SIGINT, "outside"), (signal.SIGTERM, "inside"), (signal.SIGKILL, "inside")]
)
def test_a_signal_ends_the_workers_and_what_they_started(tmp_path: Path, number: signal.Signals, where: str) -> None:
    """To the process alone, as no terminal is there to tell the others: in the generator, or while its caller has a result."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("worker_cases.py")), str(tmp_path), where]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.DEVNULL) as process:
        try:
            count = 4 if where == "inside" else 2
            pids = soon(lambda: (names := [int(path.name) for path in tmp_path.glob("[0-9]*")]) and len(names) >= count and names)
            assert pids
            assert len(alive(pids)) == len(pids)
            process.send_signal(number)
            process.wait(AT_ONCE)
            assert soon(lambda: not alive(pids), AT_ONCE)
            assert number == signal.SIGKILL or not list(scratch.iterdir())
        finally:
            process.kill()


def test_a_generator_that_is_closed_ends_its_processes(cases: ModuleType, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    done = run_here([{"seed": seed, "folder": str(tmp_path)} for seed in (1, 2)], 2, run=cases.hold)
    pids = next(pids for _ in done if len(pids := [int(path.name) for path in tmp_path.iterdir()]) == 4)
    began = time.monotonic()
    done.close()
    assert soon(lambda: not alive(pids), AT_ONCE)
    assert time.monotonic() - began < AT_ONCE
    assert signal.getsignal(signal.SIGTERM) == handler


def test_ctrl_c_ends_real_simulators() -> None:
    with subprocess.Popen([*REGRESS, *SHARED, "--seeds", "4", "-j", "2", "--faults", "100000"], stdout=-1, stderr=-1, text=True) as process:
        try:
            pids = soon(lambda: len(found := simulators(process.pid)) == 2 and found)
            assert pids
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=2 * AT_ONCE)  # it reports
            assert soon(lambda: not alive(pids), AT_ONCE)
            assert process.returncode == INTERRUPTED
            assert "0 of 4 programs in" in out
            assert err == "seqfault: interrupted\n"
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not see to it")
def test_a_simulator_ends_with_the_process_that_started_it() -> None:
    """Without a pool: as in a worker of a cluster, or while a failure is made smaller."""
    options = "profiles=['mixed'], presets=['small'], settings={'svadu': 'true'}, faults=100000, fixed={'plant': 'NONE'}"
    code = f"from seqfault.regress_case import run_case; from seqfault.regress_plan import plan; run_case(plan([1], {options})[0])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            pids = soon(lambda: simulators(process.pid))
            assert pids
        finally:
            process.kill()
    assert soon(lambda: not alive(pids), AT_ONCE)


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


def test_a_case_that_cannot_be_run_is_named(cases: ModuleType, cluster: distributed.LocalCluster, tmp_path: Path) -> None:
    """It is not tried again: it would fail again."""
    with pytest.raises(CheckFailed, match="mixed seed 0, small was not finished by the cluster: no such thing"):
        gather(run_on_cluster([{**CASES[0], "folder": str(tmp_path)}], cluster.scheduler_address, run=cases.fail))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_case_that_kills_every_worker_is_named(cases: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many that may be is the scheduler's affair."""
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", scheduler_kwargs={"allowed_failures": 0}) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        client.upload_file(str(Path(__file__).with_name("worker_cases.py")))
        with pytest.raises(CheckFailed, match=r"mixed seed 0, small was not finished by the cluster: 1 workers died while they ran it$"):
            gather(run_on_cluster(CASES[:1], made.scheduler_address, run=cases.kill_worker))


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regress_workers, "LONELY_SECONDS", 1)
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty, pytest.raises(EnvironmentLacks, match="has had no worker for 1 s"):
        gather(run_on_cluster(CASES, empty.scheduler_address))


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(regress_workers, "CONNECT_SECONDS", 1)
    assert run_command(["regress", *SHARED, "--seeds", "2", "--scheduler", "127.0.0.1:9"]) == 3
    assert re.fullmatch(r"seqfault: no Dask scheduler answers at 127.0.0.1:9 \(.*\); `dask scheduler` starts one\n", capfd.readouterr().err)


@pytest.mark.parametrize("address", ["foo", "http://x:80", "", "tcp://:8786", "host:port", "host:99999", "inproc://1/2/3"])
def test_what_is_no_address(address: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is tried: a client that fails complains again when it is forgotten."""
    monkeypatch.setattr(distributed, "Client", None)
    assert run_command(["regress", *SHARED, "--seeds", "2", "--scheduler", address]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"seqfault: --scheduler: {address!r} is no address like tcp://127.0.0.1:8786: ")
    assert err.count("\n") == 1


def test_the_whole_of_what_a_wrong_address_prints() -> None:
    result = subprocess.run([*REGRESS, *SHARED, "--seeds", "2", "--scheduler", "foo"], capture_output=True, text=True, timeout=60, check=False)
    message = "--scheduler: 'foo' is no address like tcp://127.0.0.1:8786: missing port number in address 'foo'"
    assert (result.returncode, result.stderr) == (2, f"seqfault: {message}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_scheduler_that_dies(tmp_path: Path, number: signal.Signals) -> None:
    """One line, after the report of what is done."""
    described = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with subprocess.Popen([*dask, "--scheduler-file", str(described)], stderr=subprocess.DEVNULL) as scheduler:
        try:
            assert soon(lambda: described.exists() and described.stat().st_size)
            address = json.loads(described.read_text())["address"]
            with subprocess.Popen([*REGRESS, *SHARED, "--seeds", "2", "--scheduler", address], stderr=-1, text=True) as process:
                with distributed.Client(address, set_as_default=False) as client:
                    assert soon(lambda: client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 2)
                scheduler.send_signal(number)
                _, err = process.communicate(timeout=30)
                assert (process.returncode, err) == (3, f"seqfault: the scheduler at {address} is gone\n")
        finally:
            scheduler.kill()


def test_real_programs_on_a_cluster_that_loses_a_worker(cluster: distributed.LocalCluster, tmp_path: Path) -> None:
    def kill_one() -> int:
        """The process of a worker that has begun to simulate."""
        lost: int = soon(lambda: [nanny.pid for nanny in cluster.workers.values() if nanny.pid and simulators(nanny.pid)])[0]
        os.kill(lost, signal.SIGKILL)
        return lost

    path = tmp_path / "r.json"
    cluster.wait_for_workers(2)
    before = {nanny.pid for nanny in cluster.workers.values()}
    with ThreadPoolExecutor(1) as helper:
        lost = helper.submit(kill_one)
        arguments = [*SHARED, "--seeds", "4", "--faults", "100", "--scheduler", cluster.scheduler_address, "--json", str(path)]
        assert run_command(["regress", *arguments]) == 0
    assert lost.result() in before
    value = json.loads(path.read_text())
    assert (value["done"], value["outcomes"]) == (4, {"ok": 4, "difference": 0, "hang": 0, "failed": 0})
    assert value["faults"] > 300
    assert value["failures"] == []
