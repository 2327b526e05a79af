"""What expressions of PromQL are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import promql_parser as promql

#: What the variables of Grafana that stand for durations are read as; no board says these itself.
DURATIONS = {"$__rate_interval": "257s", "$__interval": "17s", "$__range": "3671s"}
RATE_INTERVAL_SECONDS = 257


class Selector(NamedTuple):
    """A selector, and how it is used.

    Attributes:
        matchers: as `label=~"value"`.
        function: the function that it is an argument of, or None.
        seconds: the range that it selects, or None.
    """

    name: str
    matchers: frozenset[str]
    labels: frozenset[str]
    function: str | None
    seconds: float | None


def parse(expr: str) -> promql.Expr:
    """Parse an expression of a board.

    Raises:
        ValueError: it is none.
    """
    for variable, duration in DURATIONS.items():
        expr = expr.replace(variable, duration)
    found: promql.Expr = promql.parse(expr)
    return found


def selectors(expr: str) -> list[Selector]:
    """Give all selectors of an expression."""
    return list(_below(parse(expr), None))


def labels_named(expr: str) -> set[str]:
    """Give the labels that an expression groups or matches by."""
    found: set[str] = set()

    def visit(node: promql.Expr) -> None:
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql.AggregateExpr) and modifier is not None:
            found.update(modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and modifier is not None:
            found.update(modifier.matching.labels if modifier.matching is not None else ())

    promql.walk(parse(expr), visit)
    return found


def _below(node: promql.Expr, function: str | None) -> Iterator[Selector]:
    match node:
        case promql.VectorSelector():
            yield _selector(node, function, None)
        case promql.MatrixSelector():
            yield _selector(node.vector_selector, function, node.range.total_seconds())
        case promql.Call():
            for argument in node.args:
                yield from _below(argument, node.func.name)
        case promql.BinaryExpr():
            yield from _below(node.lhs, None)
            yield from _below(node.rhs, None)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr():
            yield from _below(node.expr, None)
        case promql.NumberLiteral() | promql.StringLiteral():
            pass
        case _:
            raise AssertionError(f"not known to this test: {node!r}")


def _selector(node: promql.VectorSelector, function: str | None, seconds: float | None) -> Selector:
    assert node.name is not None
    matchers = node.matchers.matchers
    return Selector(
        node.name,
        frozenset(map(str, matchers)),
        frozenset(each.name for each in matchers),
        function,
        seconds,
    )
