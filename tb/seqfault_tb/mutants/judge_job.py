"""The cocotb test that tries mutants: one simulator is started, and each run of a program on a mutant is a process forked from it.

Nothing has been simulated when it forks, so each run begins at reset, without the seconds that a start takes. The job's file says: `mutants`
(numbers, in order), `programs` (JSON), `jobs` (runs at a time), `until` (UNIX time after which no mutant is begun), `verdicts` (a file that gets
a line of JSON for each mutant).
"""

import json
import os
import resource
import selectors
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cocotb
from cocotb.handle import SimHandleBase

from ..fast_machine import FastMachine
from ..regression.job import run_program
from ..regression.program import Program
from ..regression.watch import Watcher
from .court import Court, Trial

if TYPE_CHECKING:
    from ..kernel import Kernel

MESSAGE = 400
"""Characters kept of what a run said."""


class Footprint(Watcher):
    """Switches the mutant on, and sums up the log: `order` of the events alone, `timing` with their cycles."""

    name = "footprint"

    def __init__(self, mutant: int) -> None:
        self._mutant = mutant
        self._order = self._timing = 0

    def start(self, kernel: "Kernel") -> None:
        assert isinstance(kernel.machine, FastMachine)
        kernel.machine.plant(self._mutant)

    def event(self, record: list[int]) -> None:
        self._order = hash((self._order, *record[2:]))
        self._timing = hash((self._timing, record[1]))

    def result(self) -> list[int]:
        return [self._order, self._timing]


@cocotb.test()
async def judge(dut: SimHandleBase) -> None:
    """Try the mutants. In a forked process: one run, which ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    court = Court(range(len(job["programs"])), job["mutants"], until=job["until"])
    trial = _preside(court, job)
    if trial is None:
        return
    try:
        program = Program.from_json(job["programs"][trial.program])
        result = await run_program(dut, program, watchers=[Footprint(trial.mutant)])
        message = None if result["message"] is None else result["message"][:MESSAGE]
        found = {name: result[name] for name in ("outcome", "cycles", "footprint")}
        os.write(trial.pipe, json.dumps({**found, "message": message, "cpu": time.process_time()}).encode())
    finally:
        os._exit(0)


def _preside(court: Court, job: dict[str, Any]) -> Trial | None:
    """In the first process: try all, then None. In a forked one: what it is to run."""
    with selectors.DefaultSelector() as running, Path(job["verdicts"]).open("a") as verdicts:
        while True:
            while len(running.get_map()) < job["jobs"] and (trial := court.next_trial()):
                reader, trial.pipe = os.pipe()
                trial.process = os.fork()
                if not trial.process:
                    _limit(trial.seconds)
                    return trial
                os.close(trial.pipe)
                running.register(reader, selectors.EVENT_READ, trial)
            if not running.get_map():
                Path(job["result"]).write_text(json.dumps(court.summary()))
                return None
            for key, _ in running.select():
                running.unregister(key.fd)
                verdict = court.close(key.data, _outcome(key.fd, key.data.process))
                if verdict is not None:
                    verdicts.write(json.dumps(verdict) + "\n")
                    verdicts.flush()
                    Path(job["progress"]).write_text(str(court.done))


def _limit(seconds: int) -> None:
    """This process ends when it has used so much of the CPU."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _outcome(pipe: int, process: int) -> dict[str, Any]:
    """What a run has written; or that it took too long, or died."""
    with os.fdopen(pipe, "rb") as reader:
        text = reader.read()
    _, status = os.waitpid(process, 0)
    if text:
        found: dict[str, Any] = json.loads(text)
        return found
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if ended in (signal.SIGXCPU, signal.SIGKILL):
        return {"outcome": "hang", "message": "the run did not end in time", "cycles": 0, "footprint": None}
    return {"outcome": "died", "message": f"the simulator ended (status {status})", "cycles": 0, "footprint": None}
