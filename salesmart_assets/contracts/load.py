"""Reading contracts: the packaged ones, and a user's folder of overrides by source.

Belongs here: from a file to a `Contract`, and from whatever is wrong with it to a sentence with file, line and fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from salesmart_assets.contracts.model import SOURCES, Contract, ContractColumn, Misplaced, Misstated, RowRule, shown
from salesmart_assets.errors import ContractError

Check = Callable[[Contract], None]
"""Looks at a contract for what only its user can tell; raises `Misstated`."""
Place = tuple[str | int, ...]
_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
_TAGS = {_NULL, _MERGE, "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


# The loader in C where libyaml is there: the same rules, and a tenth of the time.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads every scalar as the text that stands in the file: `values: [NO]` is Norway and no truth value, `007` keeps its zeros."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (yaml's own way)
        first: [item for item in items if item[0] in (_NULL, _MERGE)] for first, items in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def load_contracts(folder: Path | None = None, check: Check | None = None) -> dict[str, Contract]:
    """The contract of every source, by source.

    `folder` may hold a file `SOURCE.yaml` for any source; it replaces the packaged one whole, and `check` is asked about
    it. Raises `ContractError` naming the file, the line and what to change.
    """
    if folder is not None and not folder.is_dir():
        raise ContractError(f"SALESMART_CONTRACTS names {folder}, which is not a folder: create it or unset the variable.")
    if folder is not None and (strange := sorted(p.name for p in folder.glob("*.y*ml") if p.stem not in SOURCES or p.suffix != ".yaml")):
        near = difflib.get_close_matches(Path(strange[0]).stem, SOURCES, 1, 0.5)
        meant = f" Did you mean {near[0]}.yaml?" if near else ""
        raise ContractError(
            f"{folder / strange[0]} is the contract of no source: name it SOURCE.yaml, with one of {', '.join(SOURCES)}.{meant}"
        )
    packaged = resources.files("salesmart_assets.contracts")
    contracts = {}
    for source in SOURCES:
        own = folder / f"{source}.yaml" if folder else None
        if own is not None and own.exists():
            contracts[source] = parse_contract(_read(own), str(own), source, check)
        else:
            name = f"{source}.yaml"
            contracts[source] = parse_contract((packaged / name).read_text("utf-8"), name, source)
    return contracts


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ContractError(f"{path}, line {line}: this is not UTF-8: save the file in that encoding.") from None
    except OSError as error:
        raise ContractError(f"{path} cannot be read ({error.strerror}): correct its rights, or remove it.") from None


def parse_contract(text: str, name: str, source: str, check: Check | None = None) -> Contract:
    """One contract from its YAML text; `name` is the file's name for messages. See `load_contracts` for `check`."""

    def fault(line: int, says: str) -> ContractError:
        return ContractError(f"{name}, line {line}: {says.rstrip('.')}{'' if says.endswith('?') else '.'}")

    document, lines = _document(text, source, fault)

    def at(place: Place) -> int:
        while place and place not in lines:
            place = place[:-1]
        return lines.get(place, 1)

    try:
        said = document.get("source")
        if said in SOURCES and said != source:
            raise fault(at(("source",)), f"it says source {said}, but is the contract of {source}: correct one of them")
        contract = Contract.model_validate(document)
        if check is not None:
            check(contract)
    except ValidationError as error:
        # A misspelt key comes before the one that is missing for it.
        first = min(error.errors(include_url=False), key=lambda item: (item["type"] != "extra_forbidden", at(tuple(item["loc"]))))
        place, says = _told(first)
        raise fault(at(place), f"{shown(place)}: {says}" if place else says) from None
    except Misstated as error:
        raise fault(at(error.place), f"{shown(error.place)}: {error.says}") from None
    return contract


def _document(text: str, source: str, fault: Callable[[int, str], ContractError]) -> tuple[dict[str, Any], dict[Place, int]]:
    """The mapping that a YAML text is, and the line of every key and item in it by its path."""
    begin = f"a contract is a mapping that begins with `source: {source}`"
    lines: dict[Place, int] = {}
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise fault(1, f"the file is empty: {begin}")
        _find_lines(node, (), lines, fault)
        document = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if "\t" in (text.splitlines()[line - 1 : line] or [""])[0].split("#")[0]:
            raise fault(line, "there is a tab in it, which YAML does not allow there: indent with blanks") from None
        raise fault(line, f"this is not YAML ({error.problem}). Mind the indentation, and quote values with special signs") from None
    except yaml.YAMLError:
        raise fault(1, "it holds characters that no text has: save it as plain UTF-8 text") from None
    except RecursionError:
        raise fault(1, "its parts lie too deep within each other: remove anchors that contain themselves") from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(document, dict):
        raise fault(1, begin)
    return document, lines


def _find_lines(node: yaml.Node, place: Place, lines: dict[Place, int], fault: Callable[[int, str], ContractError]) -> None:
    if node.tag not in _TAGS:
        shown_tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise fault(node.start_mark.line + 1, f"a tag such as {shown_tag} has no use here: remove it")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _TAGS:
                raise fault(line, "a key must be a plain word")
            here = (*place, key.value)
            if here in lines and key.tag != _MERGE:
                raise fault(line, f"{shown(here)} stands here a second time, first in line {lines[here]}: remove one of them")
            lines[here] = line
            _find_lines(value, here, lines, fault)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*place, index)
            lines[here] = value.start_mark.line + 1
            _find_lines(value, here, lines, fault)


def _told(error: Mapping[str, Any]) -> tuple[Place, str]:
    """Where one of pydantic's errors is, and what it means to the author of a contract."""
    place: Place = tuple(error["loc"])
    kind, context, given = error["type"], error.get("ctx") or {}, error.get("input")
    cause = context.get("error")
    if kind == "value_error":
        return (*place, *(cause.place if isinstance(cause, Misplaced) else ())), str(cause)
    if kind == "extra_forbidden":
        known = _keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1, 0.6)
        return place, f"there is no such key: did you mean {near[0]}?" if near else f"there is no such key: use {', '.join(known)}"
    if kind == "missing":
        return place[:-1], f"the key {place[-1]!s} is missing: add `{place[-1]!s}: …`"
    if kind == "literal_error" and given is not None:
        choices = str(context.get("expected", ""))
        near = difflib.get_close_matches(str(given), [c.strip("'") for c in choices.replace(" or ", ", ").split(", ")], 1, 0.6)
        return place, f"{given!r} is not among the choices: {'did you mean ' + near[0] + '?' if near else 'use ' + choices}"
    if given is None:
        return place, "nothing stands after the colon: give a value, or remove the key"
    return place, _KINDS.get(kind.split("_")[0], "{given!r} cannot stand here: correct it").format(given=_short(given), **context)


_KINDS = {
    "bool": "{given} is neither true nor false: write one of the two",
    "tuple": "{given} is no list: put the values in brackets, such as [first, second]",
    "string": "{given} is no plain text: write it on one line, in quotes",
    "dict": "{given} is no mapping: write one `name: value` a line, indented",
    "model": "{given} is no mapping: write `key: value` pairs in braces, or indented",
    "int": "{given} is no whole number: write one, such as 10",
    "float": "{given} is no number: write one, such as 0.1",
    "greater": "{given} is too small: the least is {ge:g}",
    "less": "{given} is too large: the most is {le:g}",
    "finite": "{given} is no number: write one, such as 0.1",
}
"""What is wrong, by the first word of pydantic's name for it."""


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _keys(place: Place) -> list[str]:
    """The keys that are known at a place of a contract."""
    if len(place) == 2 and place[0] in ("columns", "rules"):
        return list((ContractColumn if place[0] == "columns" else RowRule).model_fields)
    return list(Contract.model_fields)
