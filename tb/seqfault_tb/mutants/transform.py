"""Turns a module of the RTL into one that has mutants: its syntax tree, with the sites of `runtime.py`'s calls, and the list of them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .runtime import SWAPS

__all__ = ["RUNTIME", "Mutant", "transform"]

RUNTIME = "__mutants__"
"""Name that the runtime has in a transformed module."""
_SYMBOLS: dict[type[ast.AST], str] = {
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.Add: "+", ast.Sub: "-",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
SIDES = ("&", "|")
OBSERVED = ("emit",)
"""Calls whose constants only say what happened, to the event port: they are dropped, but not changed."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of the RTL: its number, where (file name, line and column from 1), the kind of change, and the text before and after."""

    number: int
    file: str
    line: int
    column: int
    operator: str
    before: str
    after: str


def transform(source: str, file: str, first: int) -> tuple[ast.Module, list[Mutant]]:
    """The tree of `source` with its mutants numbered from `first`. Only what is in functions is changed. Raises `SyntaxError`."""
    transformer = _Transformer(file, first)
    tree = transformer.visit(ast.parse(source))
    return ast.fix_missing_locations(tree), transformer.mutants


def _is_constant(node: ast.expr) -> bool:
    """An integer, or a name that may be an enum's member (`Step.R13`): the runtime looks."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int)
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id[0].isupper() and node.attr.isupper()


def _is_m(node: ast.AST, *attributes: str) -> bool:
    """`m`, or an attribute of it with one of these names."""
    if attributes:
        return isinstance(node, ast.Attribute) and node.attr in attributes and _is_m(node.value)
    return isinstance(node, ast.Name) and node.id == "m"


def _runtime(name: str, *arguments: ast.expr | int | str) -> ast.Call:
    values = [argument if isinstance(argument, ast.expr) else ast.Constant(argument) for argument in arguments]
    return ast.Call(ast.Attribute(ast.Name(RUNTIME, ast.Load()), name, ast.Load()), values, [])


def _numbers(numbers: list[int]) -> ast.expr:
    return ast.Tuple([ast.Constant(number) for number in numbers], ast.Load())


class _Transformer(ast.NodeTransformer):
    def __init__(self, file: str, first: int) -> None:
        self.mutants: list[Mutant] = []
        self._file, self._next = file, first
        self._functions: list[str] = []
        self._in_fsm = [False]  # directly in `with m.FSM()`, where Amaranth allows assignments and no conditions

    def _mutant(self, node: ast.AST, kind: str, before: str, after: str) -> int:
        assert isinstance(node, ast.expr | ast.stmt)
        self.mutants.append(Mutant(
            number=self._next, file=self._file, line=node.lineno, column=node.col_offset + 1, operator=kind, before=before, after=after,
        ))  # fmt: skip
        self._next += 1
        return self._next - 1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._functions.append(node.name)
        node.body = list(self._body(node.body))
        self._functions.pop()
        return node

    def _body(self, statements: list[ast.stmt]) -> Iterator[ast.stmt]:
        for statement in statements:
            yield self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None and self._functions:
            node.value = self.visit(node.value)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return node

    # --- statements ------------------------------------------------------------------------------------------------

    def visit_With(self, node: ast.With) -> ast.AST:
        for item in node.items:
            test = item.context_expr
            if isinstance(test, ast.Call) and _is_m(test.func, "If", "Elif") and len(test.args) == 1:
                test.args = [self._condition(test.args[0])]
            else:
                item.context_expr = self.visit(test)
        self._in_fsm.append(any(isinstance(item.context_expr, ast.Call) and _is_m(item.context_expr.func, "FSM") for item in node.items))
        node.body = list(self._body(node.body))
        self._in_fsm.pop()
        return node

    def _condition(self, test: ast.expr) -> ast.expr:
        text = ast.unparse(test)
        kinds = (("negated", f"~({text})"), ("stuck", "0"), ("stuck", "1"))
        numbers = [self._mutant(test, f"condition {kind}", text, after) for kind, after in kinds]
        return _runtime("condition", self._operand(test, negated=True), *numbers)

    def _operand(self, node: ast.expr, *, negated: bool) -> ast.expr:
        """Visit an expression whose negation is a mutant already: not twice."""
        if negated and isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            node.operand = self.visit(node.operand)
            return node
        if negated and isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self._compare(node, opposite=False)
        return self.visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        target = node.target
        if isinstance(target, ast.Attribute) and _is_m(target.value, "d") and isinstance(node.op, ast.Add):
            domain: ast.expr = ast.Constant(target.attr)
        elif isinstance(target, ast.Subscript) and _is_m(target.value, "d") and isinstance(node.op, ast.Add):
            domain = target.slice
        else:
            return self.generic_visit(node)
        if self._in_fsm[-1]:
            return self.generic_visit(node)
        parts = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
        statements = [self._statement(part) for part in parts]
        return ast.Expr(_runtime("assign", ast.Name("m", ast.Load()), domain, ast.List(statements, ast.Load())))

    def _statement(self, part: ast.expr) -> ast.expr:
        number = self._mutant(part, "assignment dropped", ast.unparse(part), "")
        visited = self.visit(part)
        if isinstance(visited, ast.Starred):
            visited = ast.List([visited], ast.Load())
        return ast.Tuple([ast.Constant(number), visited], ast.Load())

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if self._functions and len(node.targets) == 1 and _is_m(node.targets[0], "next"):
            number = self._mutant(node, "transition dropped", ast.unparse(node), "")
            guard = ast.Call(ast.Attribute(ast.Name("m", ast.Load()), "If", ast.Load()), [_runtime("kept", number)], [])
            return ast.With([ast.withitem(guard)], [node])
        return self.generic_visit(node) if self._functions else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        if not isinstance(call, ast.Call) or not self._functions or self._functions[-1] == "elaborate" or not call.args or not _is_m(call.args[0]):
            return self.generic_visit(node)
        if any(isinstance(argument, ast.Starred) for argument in call.args) or any(keyword.arg is None for keyword in call.keywords):
            return self.generic_visit(node)
        dropped = self._mutant(call, "call dropped", ast.unparse(call), "")
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        arguments = call.args[1:]
        others = [self._changed_argument(call, index + 1) if name not in OBSERVED and _is_constant(argument) else 0
                  for index, argument in enumerate(arguments)]  # fmt: skip
        named = ast.Dict([ast.Constant(keyword.arg) for keyword in call.keywords], [self.visit(keyword.value) for keyword in call.keywords])
        values = ast.List([self.visit(argument) for argument in arguments], ast.Load())
        return ast.Expr(_runtime("call", call.args[0], call.func, values, named, dropped, _numbers(others)))

    def _changed_argument(self, call: ast.Call, index: int) -> int:
        return self._mutant(call.args[index], "constant", ast.unparse(call), f"{ast.unparse(call.args[index])} + 1")

    # --- expressions -----------------------------------------------------------------------------------------------

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        symbol = _SYMBOLS.get(type(node.op))
        if symbol is None or not self._functions:
            return self.generic_visit(node)
        left, right, text = ast.unparse(node.left), ast.unparse(node.right), ast.unparse(node)
        swaps = [self._mutant(node, "operator", text, f"({left}) {other} ({right})") for other in SWAPS[symbol]]
        sides = [self._mutant(node, "operand dropped", text, side) if symbol in SIDES else 0 for side in (left, right)]
        constant = self._mutant(node, "constant", text, f"({left}) {symbol} ({right} + 1)") if _is_constant(node.right) else 0
        operands = self.visit(node.left), self.visit(node.right)
        return _runtime("binary", symbol, *operands, _numbers(swaps), *sides, constant)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        return self._compare(node, opposite=True)

    def _compare(self, node: ast.Compare, *, opposite: bool) -> ast.expr:
        symbol = _SYMBOLS.get(type(node.ops[0])) if len(node.ops) == 1 else None
        if symbol is None or not self._functions:
            self.generic_visit(node)
            return node
        left, right, text = ast.unparse(node.left), ast.unparse(node.comparators[0]), ast.unparse(node)
        others = SWAPS[symbol]
        swaps = [self._mutant(node, "operator", text, f"({left}) {other} ({right})") if opposite or other != others[-1] else 0 for other in others]
        constant = self._mutant(node, "constant", text, f"({left}) {symbol} ({right} + 1)") if _is_constant(node.comparators[0]) else 0
        return _runtime("compared", symbol, self.visit(node.left), self.visit(node.comparators[0]), _numbers(swaps), 0, 0, constant)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if not isinstance(node.op, ast.Invert) or not self._functions:
            return self.generic_visit(node)
        number = self._mutant(node, "~ dropped", ast.unparse(node), ast.unparse(node.operand))
        return _runtime("inverted", self.visit(node.operand), number)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not self._functions:
            return node
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        if isinstance(node.func, ast.Attribute) and not node.keywords:
            if name == "eq" and len(node.args) == 1 and _is_constant(node.args[0]):
                number = self._mutant(node, "constant", ast.unparse(node), f"{ast.unparse(node.args[0])} + 1")
                return _runtime("assigned", self.visit(node.func.value), node.args[0], number)
            if name in ("any", "all") and not node.args:
                number = self._mutant(node, "any/all", ast.unparse(node), "all" if name == "any" else "any")
                return _runtime("any_all", self.visit(node.func.value), name, number)
        text = ast.unparse(node)
        if name == "Mux" and len(node.args) == 3:
            number = self._mutant(node, "Mux swapped", text, f"~({ast.unparse(node.args[0])})")
            select = _runtime("mux", self._operand(node.args[0], negated=True), number)
            node.args = [select, *(self.visit(argument) for argument in node.args[1:])]
            return node
        return self.generic_visit(node)
