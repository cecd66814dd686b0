"""What a cover point is: its bins by name, which of them are left out and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product

from .names import cross

__all__ = ["Cross", "Left", "Point", "left_out"]


@dataclass(frozen=True)
class Left:
    """Why a bin does not count.

    `never` : it cannot happen, so it is an error when it does. Else it is reached elsewhere (`reason` names the test), and welcome here.
    """

    reason: str
    never: bool = True


@dataclass(frozen=True, kw_only=True)
class Point:
    """A cover point: `bins` are what may be seen of it. `sentence` says what it means to have seen one.

    Raises `ValueError` for an excluded bin that is none of the bins.
    """

    name: str
    sentence: str
    bins: tuple[str, ...]
    excluded: Mapping[str, Left] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if wrong := [name for name in self.excluded if name not in self.bins]:
            raise ValueError(f"{self.name}: {wrong[0]!r} is excluded, but is no bin of it")

    @property
    def counted(self) -> tuple[str, ...]:
        """Bins that are to be reached."""
        return tuple(name for name in self.bins if name not in self.excluded)


@dataclass(frozen=True, kw_only=True)
class Cross(Point):
    """All pairs of bins of two axes; `bins` and `excluded` are made by `make`."""

    left: tuple[str, ...]
    right: tuple[str, ...]

    @staticmethod
    def make(
        name: str, sentence: str, left: Iterable[str], right: Iterable[str], *rules: tuple[Iterable[str] | None, Iterable[str] | None, Left],
    ) -> "Cross":  # fmt: skip
        """`rules` : (bins of the left axis or None for all, likewise of the right, why their pairs are left out); the first that fits counts."""
        lefts, rights = tuple(left), tuple(right)
        given = [(_known(name, a, lefts), _known(name, b, rights), why) for a, b, why in rules]
        excluded = {}
        for one, other in product(lefts, rights):
            why = next((why for a, b, why in given if one in a and other in b), None)
            if why is not None:
                excluded[cross(one, other)] = why
        bins = tuple(cross(one, other) for one, other in product(lefts, rights))
        return Cross(name=name, sentence=sentence, bins=bins, excluded=excluded, left=lefts, right=rights)


def _known(name: str, given: Iterable[str] | None, axis: tuple[str, ...]) -> frozenset[str]:
    chosen = frozenset(axis if given is None else given)
    if wrong := sorted(chosen - set(axis)):
        raise ValueError(f"{name}: {wrong[0]!r} is in a rule, but is no bin of its axis")
    return chosen


def left_out(reason: str, *bins: str, never: bool = True) -> dict[str, Left]:
    """These bins are left out for one reason."""
    return dict.fromkeys(bins, Left(reason, never))
