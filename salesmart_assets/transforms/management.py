"""The management tree as of any day, flattened: who is below whom, at which distance.

Plain Python over the sellers' dimension, which is small: a tree of any depth needs a loop, and engines have none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

_COLUMNS: dict[str, pa.DataType] = {
    "sales_date": pa.date32(),
    "manager_id": pa.int64(),
    "sales_person_id": pa.int64(),
    "level": pa.int64(),
    "path": pa.string(),
}
_HEADS_NAMED = 5
BRIDGE_SCHEMA = pa.schema(_COLUMNS)


@dataclass(frozen=True, slots=True)
class ManagementTree:
    """Who reports to whom.

    `bridge` has a row for each date, seller and manager above: `level` is 1 for the seller's own manager, 2 for that
    one's, and so on; `path` names the chain by seller numbers, from the manager down, as in `10/3/7`. `problems` says in
    whole sentences what is wrong with the tree and on which of the dates, naming sellers by number and as far as they may be.
    """

    bridge: pa.Table
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Seller:
    """What the tree needs of one version; `name` is how problems call the seller."""

    manager: Any
    is_deleted: bool
    name: str


def management_bridge(sellers: pa.Table, dates: Sequence[date], shown: Callable[[str], str | None] = lambda _: None) -> ManagementTree:
    """The management tree on each of `dates`, from the rows of `dim_sales_person`.

    A manager who is no seller stands at the top of a tree of their own, and is reported; so is one who has left, and so
    are several heads, who have no manager. Those who manage each other in a circle have no manager on those days; who is
    below them keeps the chain up to them. `shown` says what of a full name may be shown before the number: by default nothing.
    The tree is worked out once for each period in which no version changes.
    """
    wanted = sorted(set(dates))
    history = _history(sellers, shown)
    id_type = sellers.schema.field("sales_person_id").type
    schema = BRIDGE_SCHEMA.set(1, pa.field("manager_id", id_type)).set(2, pa.field("sales_person_id", id_type))
    batches: list[pa.RecordBatch] = []
    seen: dict[str, list[date]] = {}
    for period in _periods(history, wanted):
        known = {member: versions[1][max(bisect_right(versions[0], period[0]) - 1, 0)] for member, versions in history.items()}
        for problem in _problems(known):
            seen.setdefault(problem, []).extend(period)
        chains = list(_chains(known))
        if not chains:
            continue
        managers, members, levels, paths = (
            pa.array(column, t) for column, t in zip(zip(*chains, strict=True), schema.types[1:], strict=True)
        )
        for day in period:
            days = pa.repeat(pa.scalar(day, pa.date32()), len(chains))
            batches.append(pa.record_batch([days, managers, members, levels, paths], schema=schema))
    problems = tuple(f"{problem} {_span(days)}." for problem, days in sorted(seen.items()))
    return ManagementTree(pa.Table.from_batches(batches, schema=schema), problems)


def _history(sellers: pa.Table, shown: Callable[[str], str | None]) -> dict[Any, tuple[list[date], list[_Seller]]]:
    """Each member's first days and versions, in order."""
    columns = sellers.select(["sales_person_id", "valid_from", "manager_id", "is_deleted", "first_name", "last_name"]).to_pydict()
    rows = sorted(zip(*columns.values(), strict=True), key=lambda row: (row[0], row[1]))
    history: dict[Any, tuple[list[date], list[_Seller]]] = {}
    for member, first, manager, deleted, *names in rows:
        days, versions = history.setdefault(member, ([], []))
        days.append(first)
        name = shown(" ".join(part for part in names if part))
        versions.append(_Seller(manager, bool(deleted), f"{name} ({member})" if name else str(member)))
    return history


def _periods(history: Mapping[Any, tuple[list[date], list[_Seller]]], dates: Sequence[date]) -> Iterator[list[date]]:
    """The dates, in groups between which some version begins; a member's first version begins before all of them."""
    changes = sorted({day for days, _ in history.values() for day in days[1:]})
    group: list[date] = []
    place = -1
    for day in dates:
        here = bisect_right(changes, day)
        if group and here != place:
            yield group
            group = []
        place = here
        group.append(day)
    if group:
        yield group


def _circles(known: Mapping[Any, _Seller]) -> list[list[Any]]:
    """Every circle of managers, each beginning with its smallest number and going upwards."""
    done: set[Any] = set()
    circles = []
    for start in known:
        walked: dict[Any, int] = {}
        here = start
        while here in known and here not in done and here not in walked:
            walked[here] = len(walked)
            here = known[here].manager
        if here in walked:
            circle = list(walked)[walked[here] :]
            smallest = circle.index(min(circle))
            circles.append(circle[smallest:] + circle[:smallest])
        done.update(walked)
    return circles


def _chains(known: Mapping[Any, _Seller]) -> Iterator[tuple[Any, Any, int, str]]:
    """(manager, seller, level, path) for every seller and everybody above."""
    cut = {member for circle in _circles(known) for member in circle}
    for member in known:
        here, level, path = member, 0, str(member)
        while here in known and here not in cut and (above := known[here].manager) is not None:
            level += 1
            path = f"{above}/{path}"
            yield above, member, level, path
            here = above


def _problems(known: Mapping[Any, _Seller]) -> Iterator[str]:
    for circle in _circles(known):
        if len(circle) == 1:
            yield f"Seller {known[circle[0]].name} is named as their own manager"
        else:
            yield f"Sellers manage each other in a circle, {' under '.join(known[m].name for m in (*circle, circle[0]))},"
    for manager in {version.manager for version in known.values() if not version.is_deleted} - {None}:
        if manager not in known:
            yield f"Manager {manager} is not among the sellers"
        elif known[manager].is_deleted:
            yield f"Manager {known[manager].name} has left, but is still named as a manager"
    heads = sorted(member for member, version in known.items() if version.manager is None and not version.is_deleted)
    if len(heads) > 1:
        named = ", ".join(known[member].name for member in heads[:_HEADS_NAMED])
        more = f" and {len(heads) - _HEADS_NAMED} more" if len(heads) > _HEADS_NAMED else ""
        yield f"The team has {len(heads)} heads, who have no manager, {named}{more},"


def _span(days: Sequence[date]) -> str:
    return f"on {days[0]}" if days[0] == days[-1] else f"from {days[0]} to {days[-1]}"
