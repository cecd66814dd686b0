"""Makes Amaranth walk an expression that is used twice once. Mutants use the operands that they change again, a few times at each level.

Amaranth (0.5) takes expressions for trees: some of its passes would walk, and one would copy, exponentially many. For the process that writes
the mutants' Verilog only.
"""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import _ast, _dsl, _ir, _xfrm

__all__ = ["share_expressions"]


def share_expressions() -> None:
    """From now on, in this process. What the passes compute stays the same."""
    for kind in (_ast.Operator, _ast.SwitchValue, _ast.Slice, _ast.Concat):
        kind.shape = _once_an_object(kind.shape)
    _xfrm.ValueVisitor.on_value = _once_a_value(_xfrm.ValueVisitor.on_value)
    _ir.Design._collect_used_signals_value = _once_a_fragment(_ir.Design._collect_used_signals_value)
    _dsl._check_rhs = _once(_dsl._check_rhs)


def _once_an_object(shape: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call(value: Any) -> Any:
        if not hasattr(value, "_seqfault_shape"):
            value._seqfault_shape = shape(value)
        return value._seqfault_shape

    return call


def _once_a_value(visit: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(visitor: Any, value: Any) -> Any:
        seen = visitor.__dict__.setdefault("_seqfault_seen", {})
        if id(value) not in seen:
            seen[id(value)] = value, visit(visitor, value)  # the value is kept, so that its id is nobody else's
        return seen[id(value)][1]

    return call


def _once_a_fragment(collect: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any], None]:
    def call(design: Any, fragment: Any, value: Any) -> None:
        seen = design.__dict__.setdefault("_seqfault_seen", {})
        if (fragment, id(value)) not in seen:
            seen[fragment, id(value)] = value
            collect(design, fragment, value)

    return call


def _once(check: Callable[[Any], None]) -> Callable[[Any], None]:
    seen: dict[int, Any] = {}

    def call(value: Any) -> None:
        if id(value) not in seen:
            seen[id(value)] = value
            check(value)

    return call
