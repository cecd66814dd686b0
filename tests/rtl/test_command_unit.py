"""CommandUnit under cocotb, and planted bugs that its tests must find."""

from dataclasses import replace

import pytest
from amaranth import Signal

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl import entry_sweep
from seqfault_rtl.command_unit import CommandUnit
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.entry_chunk import EntryChunk
from seqfault_rtl.paging import EXCLUSIVE

from ..long import in_short

TESTS = "seqfault_tb.test_command_unit"
SMALL = replace(PRESETS["small"], spaces=8)


def run(unit: type[CommandUnit], config: EngineConfig, testcase: str | None = None) -> None:
    sizes = {"SPACES": config.spaces, "CHUNK": config.zap_chunk, "CONTEXTS": config.contexts, "WALKS": config.walks, "PORTS": config.ports}
    parameters = {name: str(value) for name, value in sizes.items()}
    run_block(unit(config), TESTS, name="command_unit", parameters=parameters, testcase=testcase)


@pytest.mark.parametrize("config", in_short(1, [SMALL, EngineConfig(spaces=16), EngineConfig(spaces=8, zap_chunk=16, contexts=62)]))
def test_command_unit(config: EngineConfig) -> None:
    run(CommandUnit, config)


class Unlocked(CommandUnit):
    """Sweeps a table although somebody else holds its lock."""

    def _connect_tables(self, m):
        super()._connect_tables(m)
        m.d.comb += self._sweep.lock_busy.eq(0)


class Forgetful(CommandUnit):
    """PR of a fence waits for nothing."""

    def _connect_tables(self, m):
        super()._connect_tables(m)
        m.d.comb += [self._fence.pinned.eq(0), self._fence.walking.eq(0)]


class Impatient(CommandUnit):
    """Takes the mm lock while readers hold it."""

    def _connect_tables(self, m):
        super()._connect_tables(m)
        m.d.comb += self._step.mm_free.eq(1)


class Permissive(CommandUnit):
    """Lets a SEQ.END pass that has no SEQ.BEGIN."""

    def _connect_tables(self, m):
        super()._connect_tables(m)
        m.d.comb += self._step.sequence_idle.eq(0)


class Loud(CommandUnit):
    """Tells every port of a page response."""

    def _connect_tables(self, m):
        super()._connect_tables(m)
        m.d.comb += [own.valid.eq(self._step.responses[0].valid) for own in self.responses]


class Misled(CommandUnit):
    """Does not see that SRCU has refused a call."""

    def _connect_tables(self, m):
        super()._connect_tables(m)
        m.d.comb += self._step.srcu_refused.eq(0)


class Idle(CommandUnit):
    """Is never busy."""

    def _connect_queue(self, m):
        super()._connect_queue(m)
        m.d.comb += self.busy.eq(0)


class Modest(CommandUnit):
    """A writer that waits for its VMA does not claim it."""

    def _connect_tables(self, m):
        super()._connect_tables(m)
        m.d.comb += self.sequence_claim.eq(0)


@pytest.mark.parametrize(
    ("mutant", "testcase", "complaint"),
    in_short(
        1,
        [
            (Unlocked, "sweeps", "which somebody else holds"),
            (Forgetful, "fences", "assert not True"),
            (Idle, "switched_off", "still waiting"),
            (Modest, "switched_off", "still waiting"),
            (Loud, "calls_and_responses", "'response', 'response'"),
            (Misled, "calls_and_responses", "event [0-9]+ is"),
            (Impatient, "random_commands", "MM_LOCK while readers hold it"),
            (Permissive, "refused", "event [0-9]+ is"),
        ],
    ),
)
def test_planted_bug_is_found(mutant: type[CommandUnit], testcase: str, complaint: str) -> None:
    with pytest.raises(SimulationFailed, match=f"{testcase} failed(?s:.*){complaint}"):
        run(mutant, SMALL, testcase)


class Hasty(EntryChunk):
    """Does not wait for its writes: unlocks before they are visible."""

    def _count_writes(self, m):
        super()._count_writes(m)
        m.d.sync += self._waiting.eq(0)


class Silent(EntryChunk):
    """Does not tell which lines it changed."""

    def _tell(self, m, place):
        super()._tell(m, place)
        m.d.comb += self.changed.eq(0)


class Sharing(EntryChunk):
    """Takes SHARE for granted: EXCLUSIVE is lost with every PROTECT."""

    def _change(self, m, old, place):
        plain = Signal.like(old)
        m.d.comb += [plain.eq(old), plain.rsw[EXCLUSIVE].eq(old.rsw[EXCLUSIVE] & ~self.task.protect)]
        return super()._change(m, plain, place)


class Lossy(EntryChunk):
    """Does not wait for room in the released ring."""

    def _count_writes(self, m):
        super()._count_writes(m)
        m.d.sync += self.released.valid.eq(0)


@pytest.mark.parametrize(
    ("mutant", "testcase", "complaint"),
    in_short(
        0,
        [
            (Hasty, "sweeps", "before (the|these) writes"),
            (Sharing, "sweeps", "event [0-9]+ is"),
            (Silent, "sweeps", "without a changed strobe"),
            (Lossy, "released_ring_full", "assert None is not None"),
        ],
    ),
)
def test_planted_bug_in_a_chunk_is_found(mutant: type[EntryChunk], testcase: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_sweep, "EntryChunk", mutant)
    with pytest.raises(SimulationFailed, match=f"{testcase} failed(?s:.*){complaint}"):
        run(CommandUnit, SMALL, testcase)
