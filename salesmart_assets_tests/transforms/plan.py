"""What the columns of a frame are made of, read from the plan that Apache Spark has analysed.

The rule is that of `transforms.lineage`, put into the terms of a plan. A plan comes as the JSON that Spark writes of it:
each node's class, its number of children, and its fields, of which expressions are such lists of nodes themselves. Input
tables are those that the plan names; what else it starts from (rows that the program made) has no origin.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from salesmart_assets.transforms.lineage import NOTHING, Lineage, Origin, Origins

# Their arguments, where they have any, are the window's order over again.
_PLACES = {"RowNumber", "Rank", "DenseRank", "PercentRank", "CumeDist", "NTile"}
_LEAVES = {"LogicalRDD", "LocalRelation", "OneRowRelation"}
# They decide which rows there are, in which order and where; what the columns are made of is the child's.
_ROWS = {"Filter", "Deduplicate", "Distinct", "Sort", "ResolvedHint", "SubqueryAlias", "View", "GlobalLimit", "LocalLimit"}


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a plan or of an expression, by the short name of its class."""

    kind: str
    fields: Mapping[str, Any]
    children: Sequence[Node]

    @classmethod
    def of(cls, flat: Iterator[Mapping[str, Any]]) -> Node:
        """The next tree of a list that has each node before its children."""
        fields = next(flat)
        return cls(fields["class"].rpartition(".")[2], fields, [cls.of(flat) for _ in range(fields["num-children"])])

    def expressions(self, *names: str) -> list[Node]:
        """The expressions in the fields `names`."""
        return [Node.of(iter(flat)) for name in names for flat in self.fields[name]]

    @property
    def id(self) -> int:
        """The number under which other nodes read an attribute or an alias."""
        number: int = self.fields["exprId"]["id"]
        return number


class _Made(NamedTuple):
    id: int
    name: str
    origins: Origins


def lineage_of(plan: str, tables: Collection[str]) -> Lineage:
    """What each column of an analysed plan, given as JSON, is made of, by columns of the input `tables`."""
    return {made.name: made.origins for made in _output(Node.of(iter(json.loads(plan))), tables)}


def differences(table: str, declared: Lineage, found: Lineage) -> list[str]:
    """In whole sentences: each dependency that the code has and the declaration lacks, or the other way round."""
    said = []
    for column in sorted(declared.keys() | found.keys()):
        before, after = declared.get(column, NOTHING), found.get(column, NOTHING)
        said += [f"{table}.{column} is made of {o.table}.{o.column}, which is not declared." for o in sorted(after - before)]
        said += [f"{table}.{column} is declared to be made of {o.table}.{o.column}, and is not." for o in sorted(before - after)]
        if (column in declared) != (column in found):
            said.append(f"{table}.{column} is {'declared, and no column' if column in declared else 'a column, and not declared'}.")
    return said


def _output(plan: Node, tables: Collection[str]) -> list[_Made]:
    """The columns of a plan, in order. Raises `LookupError` for a kind of plan whose meaning is not written down here."""
    if plan.kind in _LEAVES:
        return [_Made(a.id, a.fields["name"], NOTHING) for a in plan.expressions(*({"output"} & plan.fields.keys()))]
    inputs = [_output(child, tables) for child in plan.children]
    if plan.kind == "SubqueryAlias" and (table := plan.fields["identifier"]["name"]) in tables:
        return [made._replace(origins=frozenset({Origin(table, made.name)})) for made in inputs[0]]
    if plan.kind in _ROWS:
        return inputs[0]
    if plan.kind == "Union":
        return [columns[0]._replace(origins=NOTHING.union(*(c.origins for c in columns))) for columns in zip(*inputs, strict=True)]
    if plan.kind == "Join":
        return _joined(plan, *inputs)
    known = {made.id: made.origins for made in inputs[0]}
    if plan.kind == "Project":
        return [_named(e, known, NOTHING) for e in plan.expressions("projectList")]
    if plan.kind == "Aggregate":
        groups = _read(plan.expressions("groupingExpressions"), known, NOTHING)
        return [_named(e, known, groups) for e in plan.expressions("aggregateExpressions")]
    if plan.kind == "Window":
        return [*inputs[0], *(_named(e, known, NOTHING) for e in plan.expressions("windowExpressions"))]
    raise LookupError(f"what the columns of a plan {plan.kind} are made of is not written down in {__name__}")


def _joined(join: Node, left: list[_Made], right: list[_Made]) -> list[_Made]:
    """The columns of both sides; those of an optional side are looked up by the other side's columns in the condition."""
    kind = join.fields["joinType"]
    kind = (kind["object"] if isinstance(kind, Mapping) else kind).rpartition(".")[2].rstrip("$")
    if kind in ("LeftSemi", "LeftAnti"):
        return left
    condition = [Node.of(iter(join.fields["condition"]))] if join.fields.get("condition") else []

    def looked_up(optional: list[_Made], rows: list[_Made]) -> list[_Made]:
        by = _read(condition, {made.id: NOTHING for made in optional} | {made.id: made.origins for made in rows}, NOTHING)
        return [made._replace(origins=made.origins | by) for made in optional]

    match kind:
        case "Inner" | "Cross":
            return [*left, *right]
        case "LeftOuter":
            return [*left, *looked_up(right, left)]
        case "RightOuter":
            return [*looked_up(left, right), *right]
        case "FullOuter":
            return [*looked_up(left, right), *looked_up(right, left)]
    raise LookupError(f"what a join {kind} makes of its sides is not written down in {__name__}")


def _named(expression: Node, known: Mapping[int, Origins], counted_by: Origins) -> _Made:
    return _Made(expression.id, expression.fields["name"], _read([expression], known, counted_by))


def _read(expressions: Sequence[Node], known: Mapping[int, Origins], counted_by: Origins) -> Origins:
    """What expressions are made of; a function over rows that takes no column is made of those that it counts by."""
    found = NOTHING
    for e in expressions:
        if e.kind == "AttributeReference":
            found |= known[e.id]
        elif e.kind == "WindowExpression":
            function, window = e.children
            found |= _read([function], known, _read([window], known, NOTHING))
        elif e.kind in _PLACES or (e.kind == "AggregateExpression" and not _takes_a_column(e)):
            found |= counted_by
        elif "plan" in e.fields:
            raise LookupError(f"what an expression {e.kind} is made of is not written down in {__name__}")
        else:
            found |= _read(e.children, known, counted_by)
    return found


def _takes_a_column(expression: Node) -> bool:
    return expression.kind == "AttributeReference" or any(map(_takes_a_column, expression.children))
