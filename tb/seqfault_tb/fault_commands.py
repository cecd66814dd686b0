"""The writers' side of the step slot, for tests of the fault unit: commands as in the contract, in order, one step a grant."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from seqfault_golden.layout import Step

from .fault_model import FaultModel

__all__ = ["Command", "CommandUnit"]

AGENT = 63
SOFTWARE = -1
"""Holder of a PTE lock in the model, beside the contexts."""


@dataclass(kw_only=True)
class Command:
    """One step.

    `levels` are driven while it waits, `strobes` when it is executed. `may` : whether it can be. `effect` : what it does to the model.
    `slotless` : it needs no grant; its strobes come as soon as it begins.
    `after` : it does not begin before this returns True. `delay` : cycles before it asks for the slot.
    """

    step: Step | None
    levels: dict[str, Any] = field(default_factory=dict)
    strobes: dict[str, Any] = field(default_factory=dict)
    may: Callable[[dict[str, int]], bool] = lambda view: True
    effect: Callable[[], Any] = lambda: None
    event: dict[str, int] = field(default_factory=dict)
    after: Callable[[], bool] = lambda: True
    delay: int = 0
    slotless: bool = False


class CommandUnit:
    """Executes `queue` in order, a step each time that the slot is granted. `greedy`: asks for the slot all the time."""

    def __init__(self, model: FaultModel) -> None:
        self.model = model
        self.queue: deque[Command] = deque()
        self.greedy = False
        self._event: dict[str, int] | None = None
        self._told = False

    # --- called by the bench in every cycle ---------------------------------------------------------------------------

    def _current(self) -> Command | None:
        command = self.queue[0] if self.queue else None
        return command if command and command.delay <= 0 and command.after() else None

    def wants(self) -> bool:
        if self.queue and self.queue[0].delay > 0:
            self.queue[0].delay -= 1
        command = self._current()
        return self.greedy or (command is not None and not command.slotless)

    def levels(self) -> dict[str, Any]:
        """What is driven before the grant is known; claims count from now on."""
        command = self._current()
        levels = command.levels if command else {}
        self._told = command is not None and command.slotless
        if command and command.slotless:
            self.queue.popleft()
            command.effect()
            levels = levels | command.strobes
        self.model.mm_claim = levels["mm_space"] if levels.get("mm_claim") else None
        self.model.vma_claim = levels["writer_id"] if levels.get("vma_claim") else None
        return levels

    def granted(self, view: dict[str, int]) -> dict[str, Any] | None:
        """The slot is ours: what is driven in this cycle, None if nothing is done."""
        command = self._current()
        if self._told or command is None or not command.may(view):
            return None
        self.queue.popleft()
        command.effect()
        drive = command.levels | command.strobes
        if command.step is not None:
            base = dict.fromkeys(("outcome", "space", "vpn", "id", "seq", "addr", "data"), 0)
            self._event = base | {"first": int(command.step), "last": int(command.step), "agent": AGENT} | command.event
            drive = drive | {"event_valid": 1, "event": self._event}
        return drive

    def take_event(self) -> dict[str, int] | None:
        """The event of this cycle, if a step was executed."""
        event, self._event = self._event, None
        return event

    # --- commands -----------------------------------------------------------------------------------------------------

    def add(self, command: Command) -> None:
        self.queue.append(command)

    def sequence_begin(self, vma_id: int, **options: Any) -> None:
        """SEQ.BEGIN; waits until no fault holds the VMA."""
        model, entry = self.model, vma_id % self.model.entries

        def may(view: dict[str, int]) -> bool:
            assert view["unread"] == (model.readers[entry] == 0)
            return bool(view["unread"])

        def effect() -> None:
            model.generation[entry] = model.generation[entry] + 1 & 0x7FFFFFFF
            model.writers[entry] += 1

        levels = {"writer_id": vma_id, "vma_claim": 1}
        self.add(Command(step=Step.SEQ_BEGIN, levels=levels, strobes={"begin": 1}, may=may, effect=effect, event={"id": vma_id}, **options))

    def sequence_end(self, vma_id: int, **options: Any) -> None:
        def effect() -> None:
            self.model.writers[vma_id % self.model.entries] -= 1

        levels = {"writer_id": vma_id}
        self.add(Command(step=Step.SEQ_END, levels=levels, strobes={"end": 1}, effect=effect, event={"id": vma_id}, **options))

    def lock_table(self, table: int, **options: Any) -> None:
        """PTE_LOCK of the leaf table with this PPN; waits until it is free."""
        model = self.model

        def may(view: dict[str, int]) -> bool:
            assert view["busy"] == (table in model.locks)
            return not view["busy"]

        def effect() -> None:
            model.locks[table] = SOFTWARE

        strobes, event = {"lock": 1}, {"addr": table << 12}
        self.add(Command(step=Step.PTE_LOCK, levels={"table": table}, strobes=strobes, may=may, effect=effect, event=event, **options))

    def unlock_table(self, table: int, **options: Any) -> None:
        def effect() -> None:
            assert self.model.locks.pop(table) == SOFTWARE
            self.model.lock_freed()

        event = {"addr": table << 12}
        self.add(Command(step=Step.PTE_UNLOCK, levels={"table": table}, strobes={"unlock": 1}, effect=effect, event=event, **options))

    def mm_lock(self, space: int, **options: Any) -> None:
        """MM.LOCK; stops new readers and waits for those that run."""
        model = self.model

        def may(view: dict[str, int]) -> bool:
            assert view["mm_free"] == (not model.mm_readers.get(space) and space not in model.mm_writer)
            return bool(view["mm_free"])

        levels = {"mm_space": space, "mm_claim": 1}
        effect = lambda: model.mm_writer.add(space)  # noqa: E731
        self.add(Command(step=Step.MM_LOCK, levels=levels, strobes={"mm_lock": 1}, may=may, effect=effect, event={"space": space}, **options))

    def mm_unlock(self, space: int, **options: Any) -> None:
        effect = lambda: self.model.mm_writer.remove(space)  # noqa: E731
        strobes = {"mm_unlock": 1}
        self.add(Command(step=Step.MM_UNLOCK, levels={"mm_space": space}, strobes=strobes, effect=effect, event={"space": space}, **options))

    def invalidate(self, *, space: int | None, vpn: int | None, mask: int = 0, **options: Any) -> None:
        """IOTINVAL.VMA of a page (`mask`: of a power of two of them), None: all."""
        record = {"any_space": space is None, "space": space or 0, "any_page": vpn is None, "vpn": vpn or 0, "mask": mask}
        event = {"space": 0xFFFF if space is None else space, "vpn": vpn or 0, "data": 0 if vpn is None else mask + 1}
        effect = lambda: self.model.invalidate(space=space, vpn=vpn, mask=mask)  # noqa: E731
        strobes = {"invalidate": 1, "record": record}
        may = lambda view: not self.model.flushing  # noqa: E731
        self.add(Command(step=Step.INVALIDATE, strobes=strobes, may=may, effect=effect, event=event, **options))

    def change_leaf(self, space: int, vpn: int, edit: Callable[[], None], **options: Any) -> None:
        """PTE_CLEAR of a page; later `edit` changes its leaf entry, visibly, and that is announced in the same cycle, outside the slot."""

        def effect() -> None:
            edit()
            self.model.changed(space, vpn)

        self.add(Command(step=Step.PTE_CLEAR, event={"space": space, "vpn": vpn}, **options))
        self.announce(space, vpn, effect, delay=1)

    def announce(self, space: int, vpn: int, effect: Callable[[], None], **options: Any) -> None:
        """A leaf entry in the line of this page has changed."""
        strobes = {"changed": 1, "changed_space": space, "changed_vpn": vpn}
        self.add(Command(step=None, strobes=strobes, effect=effect, slotless=True, **options))

    def update_leaf(self, space: int, vpn: int, edit: Callable[[], None], **options: Any) -> None:
        """A and D are set by hardware, under the table's lock: announced when that begins and when it is visible."""
        strobes = {"updated": 1, "updated_space": space, "updated_vpn": vpn}

        def effect() -> None:
            edit()
            self.model.updated(space, vpn)

        began = lambda: self.model.updated(space, vpn)  # noqa: E731
        self.add(Command(step=None, strobes=strobes, effect=began, slotless=True, **options))
        self.add(Command(step=None, strobes=strobes, effect=effect, slotless=True, delay=5))

    def software(self, edit: Callable[[], None], **options: Any) -> None:
        """Software changes memory; no step of the engine."""
        self.add(Command(step=None, effect=edit, **options))
