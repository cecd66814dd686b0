"""A/D updates as steps: streams that the checker accepts, and planted bugs that it names."""

import pytest

from seqfault_golden import Access, How, Outcome, Status, Step

ADUE = 1
UPDATES = 62
PTE_A, PTE_D = 0x40, 0x80
FRAME = 0xB00


def unused(w):
    """A leaf without A and D."""
    return w.pte_of(FRAME) & ~(PTE_A | PTE_D)


def aged(s, w, features=ADUE):
    """The space has Svadu, and software has put an unused leaf in."""
    s.command(Step.SPACE_TABLE, space=w.SPACE, id=features, data=w.SATP)
    s.section(seq=3).write(w.entry_of(w.PAGE), unused(w))
    return s.end_section()


def update(s, w, new, outcome=Outcome.OK, between=lambda stream: None):
    """Both steps of one update."""
    fields = {"space": w.SPACE, "vpn": w.PAGE, "addr": w.entry_of(w.PAGE), "data": new}
    s.event(Step.AD_LOCK, agent=UPDATES, **fields)
    between(s)
    return s.event(Step.AD_UPDATE, agent=UPDATES, outcome=outcome, **fields)


def translated(s):
    return s.answer(frame=FRAME, how=How.TRANSLATED)


def test_store_sets_a_and_d(stream, world, play):
    aged(stream, world).request()
    checker = play(translated(update(stream, world, unused(world) | PTE_A | PTE_D)))
    assert checker.agreed, checker.first_difference


def test_load_sets_a(stream, world, play):
    aged(stream, world).request(access=Access.LOAD)
    checker = play(translated(update(stream, world, unused(world) | PTE_A)))
    assert checker.agreed, checker.first_difference


def test_lost_race_is_walked_again(stream, world, play):
    """Whether a reservation was lost or software was faster."""
    new = unused(world) | PTE_A | PTE_D
    aged(stream, world).request()
    update(stream, world, new, Outcome.RACED)
    checker = play(translated(update(stream, world, new)))
    assert checker.agreed, checker.first_difference


def test_race_lost_too_often(stream, world, play):
    aged(stream, world).request()
    update(stream, world, unused(world) | PTE_A | PTE_D, Outcome.RACED)
    checker = play(stream.answer(status=Status.RETRY, how=How.TRANSLATED, reason=Outcome.RACED))
    assert checker.agreed, checker.first_difference


def joined(s, w, too_late=False):
    """A store finds the entry as it was before the store that sets A and D, in a walk that began for a load; too late: that was answered."""
    old = unused(w)
    update(aged(s, w).request().request(tag=2, access=Access.LOAD), w, old | PTE_A | PTE_D)
    if not too_late:
        s.request(tag=3)
    update(translated(s), w, old | PTE_A, Outcome.RACED).answer(tag=2, frame=FRAME, how=How.TRANSLATED)
    if too_late:
        s.request(tag=3)
    return update(s, w, old | PTE_A | PTE_D, Outcome.RACED).answer(tag=3, frame=FRAME, how=How.TRANSLATED)


def test_request_may_join_a_walk_that_is_older(stream, world, play):
    """The walk read before the swap, and the load that began it is answered before the store that joined it is heard of again."""
    checker = play(joined(stream, world))
    assert checker.agreed, checker.first_difference


def raced(s, w, before, new, after, *, found=None, access=Access.STORE, outcome=Outcome.OK):
    """Software, in a section, has the entry be `before` when the lock of an update to `new` is taken, and writes `after` over `found` later."""
    aged(s, w).request(access=access).section(5).write(w.entry_of(w.PAGE), before)
    update(s, w, new, outcome, between=lambda s: s.write(w.entry_of(w.PAGE), after, *[] if found is None else [found]))
    return s.end_section(4)


@pytest.mark.parametrize("found", [None, PTE_A])
def test_software_clears_a_before_the_swap(stream, world, play, found):
    """The request found the entry as it is again, whatever it was when the lock was taken."""
    old, new = unused(world), unused(world) | PTE_A
    checker = play(translated(raced(stream, world, new, new, old, found=found and old | found, access=Access.LOAD)))
    assert checker.agreed, checker.first_difference


@pytest.mark.parametrize(("found", "remains"), [(PTE_A, PTE_A | PTE_D), (PTE_A | PTE_D, 0)], ids=["before the swap", "after the swap"])
def test_software_clears_a_of_an_entry_that_may_be_swapped_either_way(stream, world, play, found, remains):
    """The request may have found it with A or without; what software found tells which swap it was."""
    old = unused(world)
    raced(stream, world, old | PTE_A, old | PTE_A | PTE_D, old, found=old | found)
    checker = play(translated(stream), {world.entry_of(world.PAGE): old | remains})
    assert checker.agreed, checker.first_difference


BUGS = {
    "swapped what software wrote": (
        "not the entry with A or D set",
        lambda s, w: raced(s, w, 0, unused(w) | PTE_A | PTE_D, w.pte_of(FRAME + 1)),
    ),
    "swap undoes what software wrote": (
        "not the entry with A or D set",
        lambda s, w: raced(s, w, unused(w), unused(w) | PTE_A | PTE_D, w.pte_of(FRAME + 1), found=unused(w)),
    ),
    "software found the swap that failed": (
        "but software found that there",
        lambda s, w: raced(
            s, w, unused(w), unused(w) | PTE_A | PTE_D, unused(w), found=unused(w) | PTE_A | PTE_D, outcome=Outcome.RACED
        ),
    ),
    "entry of a walk that nobody joined": ("no entry of there with A or D set", lambda s, w: joined(s, w, too_late=True)),
    "D for a load": ("no request needs", lambda s, w: update(aged(s, w).request(access=Access.LOAD), w, unused(w) | PTE_A | PTE_D)),
    "nobody asked": ("no request needs", lambda s, w: update(aged(s, w), w, unused(w) | PTE_A)),
    "more than A and D": ("no entry of there with A or D set", lambda s, w: update(aged(s, w).request(), w, unused(w) & ~0x2 | PTE_A)),
    "without ADUE": ("are not set by hardware", lambda s, w: update(aged(s, w, 0).request(), w, unused(w) | PTE_A | PTE_D)),
    "in a running chunk": (
        "which agent 63 holds",
        lambda s, w: update(aged(s, w).request().section(5).command(Step.PTE_LOCK, addr=w.TABLE), w, unused(w) | PTE_A | PTE_D),
    ),
    "chunk in a running update": (
        "which agent 62 holds",
        lambda s, w: update(
            aged(s, w).request().section(5), w, unused(w) | PTE_A | PTE_D, between=lambda s: s.command(Step.PTE_LOCK, addr=w.TABLE)
        ),
    ),
    "update lost by a chunk": (
        "more than R, W, X",
        lambda s, w: (
            update(aged(s, w).request(), w, unused(w) | PTE_A | PTE_D)
            .section(5)
            .command(Step.PTE_LOCK, addr=w.TABLE)
            .command(Step.PTE_PROTECT, space=w.SPACE, vpn=w.PAGE, addr=w.entry_of(w.PAGE), data=unused(w) & ~0x4)
        ),
    ),
    "swapped what is not there": (
        "not the entry with A or D set",
        lambda s, w: update(
            aged(s, w).request().section(5).write(w.entry_of(w.PAGE), 0).end_section(4), w, unused(w) | PTE_A | PTE_D
        ),
    ),
    "fence does not wait": (
        "FENCE completed while the A/D update",
        lambda s, w: update(
            aged(s, w).request(), w, unused(w) | PTE_A | PTE_D,
            between=lambda s: s.command(Step.INVALIDATE, space=w.SPACE).command(Step.FENCE, data=1),
        ),
    ),
    "no end": (
        "agent 62 holds the lock of table",
        lambda s, w: translated(update(aged(s, w).request(), w, unused(w) | PTE_A | PTE_D)).drop(Step.AD_UPDATE),
    ),
    "retry without ADUE": (
        "where they are not set by hardware",
        lambda s, w: aged(s, w, 0).request().answer(status=Status.RETRY, how=How.TRANSLATED, reason=Outcome.RACED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_named(stream, world, play, name):
    reason, plant = BUGS[name]
    plant(stream, world)
    checker = play(stream)
    assert checker.first_difference is not None
    assert reason in checker.first_difference
