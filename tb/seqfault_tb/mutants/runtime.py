"""What transformed RTL calls while it is elaborated: each function builds the original and its mutants, chosen by the input `ACTIVE`.

`transform.py` puts these calls in place of operators, conditions, constants and assignments. What is no Amaranth value at elaboration is
left as it is, and its numbers are not in `LIVE`: they are no mutants.
"""

import operator
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from amaranth import Const, Module, Mux, Signal, Value

__all__ = [
    "ACTIVE", "ACTIVE_BITS", "LIVE", "SWAPS", "any_all", "assign", "assigned", "binary", "call", "compared", "condition", "inverted", "kept", "mux",
]  # fmt: skip

ACTIVE_BITS = 16
ACTIVE = Signal(ACTIVE_BITS, name="seqfault_mutant")
"""Number of the mutant that is switched on; 0 is none. Whoever builds the model drives it."""
LIVE: set[int] = set()
"""Numbers of the mutants that were built."""
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "&": operator.and_, "|": operator.or_, "^": operator.xor, "+": operator.add, "-": operator.sub,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
SWAPS = {
    "&": ("|",), "|": ("&",), "^": ("|",), "+": ("-",), "-": ("+",),
    "==": ("!=",), "!=": ("==",), "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"),
}  # fmt: skip
"""What an operator becomes: the opposite, and for an order also its bound moved by one."""


def _is(number: int) -> Value:
    LIVE.add(number)
    return number == ACTIVE


def _choose(original: Value, mutants: Sequence[tuple[int, Any]]) -> Value:
    """The original, or the mutant that is active, in the original's shape."""
    shape, chosen = original.shape(), original
    for number, mutated in mutants:
        chosen = Mux(_is(number), mutated, chosen)[: shape.width]
        if shape.signed:
            chosen = chosen.as_signed()
    return chosen


def _next(constant: Any) -> Any:
    """The constant plus one, or the enum's next member; None if it is neither an integer nor a member."""
    if isinstance(constant, Enum):
        members = list(type(constant))
        return members[(members.index(constant) + 1) % len(members)] if len(members) > 1 else None
    return constant + 1 if isinstance(constant, int) else None


def binary(symbol: str, left: Any, right: Any, swaps: Sequence[int], left_only: int, right_only: int, constant: int) -> Any:
    """`left symbol right`. Numbers that are 0 have no mutant: operators swapped, one side only, the constant on the right plus one."""
    original = _OPERATORS[symbol](left, right)
    if not isinstance(original, Value):
        return original
    mutants = [(number, _OPERATORS[other](left, right)) for number, other in zip(swaps, SWAPS[symbol], strict=True) if number]
    mutants += [(number, side) for number, side in ((left_only, left), (right_only, right)) if number]
    if constant and (following := _next(right)) is not None:
        mutants.append((constant, _OPERATORS[symbol](left, following)))
    return _choose(original, mutants)


compared = binary
"""The same for a comparison."""


def inverted(operand: Any, number: int) -> Any:
    """`~operand`, or the operand."""
    original = ~operand
    return _choose(original, [(number, operand)]) if isinstance(original, Value) else original


def condition(test: Any, negated: int, never: int, always: int) -> Any:
    """A condition: negated, stuck at 0, stuck at 1."""
    if isinstance(test, int):
        return test
    value = Value.cast(test).bool()
    return ((value ^ _is(negated)) & ~_is(never)) | _is(always)


def mux(select: Any, number: int) -> Any:
    """The condition of a Mux, or its opposite."""
    return select if isinstance(select, int) else Value.cast(select).bool() ^ _is(number)


def any_all(operand: Any, name: str, number: int) -> Any:
    """`operand.any()` or `.all()`, or the other of the two."""
    original = getattr(operand, name)()
    if not isinstance(operand, Value) or len(operand) < 2:
        return original
    return _choose(original, [(number, operand.all() if name == "any" else operand.any())])


def assigned(target: Any, constant: Any, number: int) -> Any:
    """`target.eq(constant)`, with the constant or the next one."""
    following = _next(constant)
    if following is None:
        return target.eq(constant)
    value = Value.cast(target)
    original, other = (Const(item.value if isinstance(item, Enum) else item, value.shape()) for item in (constant, following))
    if original.value == other.value:
        return target.eq(constant)
    return value.eq(_choose(original, [(number, other)]))


def assign(m: Module, domain: str, statements: Sequence[tuple[int, Any]]) -> None:
    """`m.d[domain] += statement`, each of which its mutant drops."""
    for number, statement in statements:
        with m.If(~_is(number)):
            m.d[domain] += statement


def kept(number: int) -> Value:
    """1 unless the mutant drops what is under this condition."""
    return ~_is(number)


def call(m: Module, function: Callable[..., Any], arguments: Sequence[Any], named: dict[str, Any], dropped: int, others: Sequence[int]) -> None:
    """`function(m, *arguments)`, which adds statements: not called, or called with the argument of a number in `others` (0: none) changed."""
    values = [_either(argument, number) if number else argument for argument, number in zip(arguments, others, strict=True)]
    with m.If(~_is(dropped)):
        function(m, *values, **named)


def _either(constant: Any, number: int) -> Any:
    """The enum's member, or the next one."""
    following = _next(constant)
    if not isinstance(constant, Enum) or following is None:
        return constant
    width = max(int(member.value).bit_length() for member in type(constant))
    return _choose(Const(constant.value, width), [(number, Const(following.value, width))])
