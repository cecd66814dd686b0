"""Requests and answers: an answer says what its fault found, and an address that was a valid translation when it could be.

An OK answer may use any translation that was valid at some time from the last INVALIDATE of its page before the request, until the answer:
that is what a TLB may hold. Ended translations are kept until an INVALIDATE that all outstanding requests have seen.
"""

from collections import deque

from ..layout import EVERY_SPACE, LEVELS, PAGE_BITS, PTE_D, VPN_MASK, Access, How, Outcome, Status, is_leaf, leaf_pa, permits, satp_levels
from ..protocol.exit_steps import how_ended
from ..protocol.world import NotAllowed
from .early import early_entries, read_early
from .history import ADUE, features_key, table_key
from .lookups import walk
from .state import Fault, State, Update

__all__ = ["Answers"]

_LEAF_LEVELS = max(LEVELS.values())


class _Pending:
    """An outstanding request. `own`: what its fault concluded; `shared`: what faults of its page concluded meanwhile (misses merge).

    `since`: the tick of the oldest request for its page that was outstanding when this one came: it may have joined the walk of that one.
    """

    __slots__ = ("access", "flags", "own", "page", "running", "shared", "since", "space", "tick", "va")

    def __init__(self, tick: int, va: int, space: int, access: int, flags: int) -> None:
        self.tick, self.va, self.space, self.access, self.flags = tick, va, space, access, flags
        self.since = tick
        self.page = (space, va >> PAGE_BITS & VPN_MASK)
        self.own: tuple[int, int, int] | None = None
        self.shared: list[tuple[int, int, int]] = []
        self.running = False


class Answers:
    """All outstanding requests, and the ended translations that an answer may still use."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._pending: dict[tuple[int, int], _Pending] = {}
        self._pages: dict[tuple[int, int], list[_Pending]] = {}
        self._ended: dict[tuple[int, int, int], list[list[int]]] = {}
        self._flushed: deque[tuple[int, tuple[int, int, int], list[int]]] = deque()
        self._nameless: list[tuple[int, int]] = []
        """Space and reason of faults that have ended without an R0."""
        state.tables.retire = self.retire

    # --- translations that ended ------------------------------------------------------------------------------------

    def retire(self, space: int, level: int, vpn: int, pte: int) -> None:
        """The leaf `pte` for `vpn` ended; a TLB may hold it until an INVALIDATE."""
        self._ended.setdefault((space, level, vpn >> 9 * level), []).append([pte, 0])

    def invalidate(self, space: int, first: int, pages: int) -> None:
        """An INVALIDATE has completed: later requests must not see what ended before it."""
        ended = self._ended
        if not ended:
            return
        if space != EVERY_SPACE and pages and pages * _LEAF_LEVELS < len(ended):
            keys = {(space, level, vpn >> 9 * level) for vpn in range(first, first + pages) for level in range(_LEAF_LEVELS)} & ended.keys()
        else:
            keys = {key for key in ended if self._hits(key, space, first, pages)}
        now = self._state.now
        for key in keys:
            for record in ended[key]:
                if not record[1]:
                    record[1] = now
                    self._flushed.append((now, key, record))

    @staticmethod
    def _hits(key: tuple[int, int, int], space: int, first: int, pages: int) -> bool:
        key_space, level, index = key
        if space not in (EVERY_SPACE, key_space):
            return False
        return pages == 0 or first >> 9 * level <= index <= first + pages - 1 >> 9 * level

    def forget(self, before: int) -> None:
        """Drop the translations that an INVALIDATE ended before every outstanding request."""
        while self._flushed and self._flushed[0][0] <= before:
            _, key, record = self._flushed.popleft()
            records = self._ended[key]
            records.remove(record)
            if not records:
                del self._ended[key]

    # --- requests and faults ----------------------------------------------------------------------------------------

    def oldest(self) -> int | None:
        """Since when a walk may have read what an outstanding request has been given."""
        return min((pending.since for pending in self._pending.values()), default=None)

    def outstanding(self) -> list[tuple[int, int]]:
        """(port, tag) of the requests without an answer."""
        return list(self._pending)

    def request(self, port: int, tag: int, va: int, space: int, access: int, flags: int) -> None:
        """A port accepted a request."""
        if (port, tag) in self._pending:
            raise NotAllowed(f"port {port} reuses tag {tag}, which is outstanding")
        pending = _Pending(self._state.now, va, space, access, flags)
        self._pending[port, tag] = pending
        same_page = self._pages.setdefault(pending.page, [])
        same_page.append(pending)
        pending.since = same_page[0].tick

    def fault_began(self, fault: Fault) -> None:
        """R0 names the request that the fault is for."""
        pending = self._pending.get((fault.port, fault.tag))
        if pending is None:
            raise NotAllowed(f"R0 for tag {fault.tag} of port {fault.port}, which is not outstanding")
        if (*pending.page, pending.access, pending.flags) != (fault.space, fault.vpn, fault.access, fault.flags):
            raise NotAllowed(f"R0 names page {fault.vpn:#x} of space {fault.space}, the request is for {pending.va:#x} of space {pending.space}")
        if pending.own is not None or (pending.running and fault.attempt == 0):
            raise NotAllowed("R0 begins a second fault of one request")
        pending.running = True

    def fault_concluded(self, fault: Fault, status: int, reason: int, named: bool) -> None:
        """The fault's last word: R18 or ANSWER."""
        if not named:  # refused the mm lock before R0: no event says which request it was
            self._nameless.append((fault.space, reason))
            return
        conclusion = (status, how_ended(fault, status), reason)
        own = self._pending.get((fault.port, fault.tag))
        for pending in self._pages.get((fault.space, fault.vpn), ()):
            if pending is own:
                pending.own, pending.running = conclusion, False
            else:
                pending.shared.append(conclusion)

    def update_began(self, update: Update) -> None:
        """A and D are set for an access that is waiting, D for a store only: never speculatively. [contract, ADUE]"""
        waiting = self._pages.get((update.space, update.vpn), ())
        dirty = bool(update.new & ~update.old & PTE_D) if update.possible else False
        if not any(permits(update.new, pending.access) and (not dirty or pending.access == Access.STORE) for pending in waiting):
            raise NotAllowed(f"AD_LOCK of page {update.vpn:#x} of space {update.space}: no request needs {update.new:#x}")

    # --- the answer -------------------------------------------------------------------------------------------------

    def answer(self, port: int, tag: int, status: int, how: int, reason: int, pa: int) -> None:
        """The answer to an outstanding request; raises `NotAllowed` when it cannot be true."""
        pending = self._pending.pop((port, tag), None)
        if pending is None:
            raise NotAllowed(f"answer to tag {tag} of port {port}, which is not outstanding")
        same_page = self._pages[pending.page]
        same_page.remove(pending)
        if not same_page:
            del self._pages[pending.page]
        if pending.running:
            raise NotAllowed("answer while the fault of this request is running")
        if status == Status.FAULT and pending.own is None:
            self._check_refusal(pending, how, reason)
        elif (status, how, reason) == (Status.RETRY, How.TRANSLATED, Outcome.RACED) and pending.own is None:
            self._check_raced(pending)
        elif how == How.TRANSLATED and status != Status.FAULT:
            if pending.own is not None or status != Status.OK or reason != Outcome.OK:
                known = _conclusion(pending.own) if pending.own else "nothing"
                raise NotAllowed(f"answer {_conclusion((status, how, reason))} for a request whose fault concluded {known}")
        elif (status, how, reason) != pending.own and (pending.own is not None or (status, how, reason) not in pending.shared):
            if pending.own is None and how == How.SOFTWARE and (pending.space, reason) in self._nameless:
                self._nameless.remove((pending.space, reason))
            else:
                known = " or ".join(map(_conclusion, [pending.own] if pending.own else pending.shared)) or "nothing"
                raise NotAllowed(f"answer {_conclusion((status, how, reason))}; its fault concluded {known}")
        if status == Status.OK:
            self._check_address(pending, pa)

    def _modes(self, pending: _Pending) -> list[int]:
        """Levels of the tables that the space had since the request."""
        return [satp_levels(satp) for satp in self._state.memory.values(table_key(pending.space), pending.since)]

    def _check_refusal(self, pending: _Pending, how: int, reason: int) -> None:
        """ "FAULT is given for a non-canonical address, a space without a table, and a bus error during translation"; and MM_BUSY before R0."""
        if how != How.TRANSLATED:
            raise NotAllowed("FAULT for a request that had a fault context")
        if reason == Outcome.MM_BUSY and (pending.space, reason) in self._nameless:
            self._nameless.remove((pending.space, reason))
            return
        if reason == Outcome.BUS_ERROR and self._state.bus_errors:
            return
        if all(_canonical(pending.va, levels) for levels in self._modes(pending)):
            raise NotAllowed(f"FAULT for {pending.va:#x}, which is canonical, in space {pending.space}, which has a table")

    def _check_raced(self, pending: _Pending) -> None:
        """An A/D update that lost too often."""
        if not any(features & ADUE for features in self._state.memory.values(features_key(pending.space), pending.since)):
            raise NotAllowed(f"RETRY for A or D in space {pending.space}, where they are not set by hardware")

    def _check_address(self, pending: _Pending, pa: int) -> None:
        if not any(_canonical(pending.va, levels) for levels in self._modes(pending)):
            raise NotAllowed(f"OK for {pending.va:#x}, which is not canonical or has no table")
        memory, (space, vpn) = self._state.memory, pending.page
        address, pte, level = walk(memory, space, vpn)
        if level >= 0 and is_leaf(pte) and permits(pte, pending.access) and leaf_pa(pte, level, pending.va) == pa:
            return
        for stale_level in range(_LEAF_LEVELS):
            for stale, flushed in self._ended.get((space, stale_level, _index(vpn, stale_level, self._modes(pending))), ()):
                in_time = not flushed or flushed > pending.tick
                if in_time and permits(stale, pending.access) and leaf_pa(stale, stale_level, pending.va) == pa:
                    return
        for early in early_entries(self._state, space, address) if level == 0 else ():
            if permits(early, pending.access) and leaf_pa(early, 0, pending.va) == pa:
                return read_early(self._state, address, early)
        raise NotAllowed(
            f"answer {pa:#x} for {pending.va:#x} (access {pending.access}) was no valid translation since "
            f"the last INVALIDATE before the request; the walk now ends with {pte:#x} at level {level}"
        )


def _canonical(va: int, levels: int) -> bool:
    """The address can be translated by a table with so many levels (0: no table)."""
    return levels > 0 and va >> PAGE_BITS + 9 * levels - 1 in (0, (1 << 65 - PAGE_BITS - 9 * levels) - 1)


def _index(vpn: int, level: int, modes: list[int]) -> int:
    """Table index path of a page, as tables are placed: without the sign."""
    return (vpn & (1 << 9 * max(modes)) - 1) >> 9 * level


def _conclusion(conclusion: tuple[int, int, int]) -> str:
    """Status, how and reason in words."""
    return "/".join(names(number).name for names, number in zip((Status, How, Outcome), conclusion, strict=True))
