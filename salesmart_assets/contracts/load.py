"""Reading contracts: the packaged ones, and a user's folder of overrides by source."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from salesmart_assets.contracts.model import SOURCES, Contract
from salesmart_assets.errors import ContractError

# The loader in C where libyaml is there: the same rules, and a tenth of the time.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_contracts(folder: Path | None = None) -> dict[str, Contract]:
    """The contract of every source, by source.

    `folder` may hold a file `SOURCE.yaml` for any source; it replaces the packaged one whole. Raises `ContractError`
    naming the file, the place in it and what to change.
    """
    if folder is not None and not folder.is_dir():
        raise ContractError(f"SALESMART_CONTRACTS names {folder}, which is not a folder: create it or unset the variable.")
    if folder is not None and (strange := sorted(p.name for p in folder.glob("*.y*ml") if p.stem not in SOURCES or p.suffix != ".yaml")):
        raise ContractError(f"{folder / strange[0]} is the contract of no source: name it SOURCE.yaml, with one of {', '.join(SOURCES)}.")
    packaged = resources.files("salesmart_assets.contracts")
    contracts = {}
    for source in SOURCES:
        own = folder / f"{source}.yaml" if folder else None
        if own is not None and own.is_file():
            contracts[source] = parse_contract(own.read_text("utf-8"), str(own), source)
        else:
            name = f"{source}.yaml"
            contracts[source] = parse_contract((packaged / name).read_text("utf-8"), name, source)
    return contracts


def parse_contract(text: str, name: str, source: str) -> Contract:
    """One contract from its YAML text; `name` is the file's name for messages."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 (both choices are safe loaders)
        lines = _lines(yaml.compose(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise ContractError(
            f"{name}, line {line}: this is not YAML ({error.problem}). Mind the indentation and quote special signs."
        ) from None
    if not isinstance(document, dict):
        raise ContractError(f"{name}, line 1: a contract is a mapping that begins with `source: {source}`.")
    try:
        contract = Contract.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = tuple(first["loc"])
        while place and place not in lines:
            place = place[:-1]
        where = ".".join(str(part) for part in first["loc"]) or "the contract"
        raise ContractError(f"{name}, line {lines.get(place, 1)}: {where}: {first['msg'].removeprefix('Value error, ')}.") from None
    if contract.source != source:
        raise ContractError(f"{name}, line {lines.get(('source',), 1)}: it says source {contract.source}, but is the contract of {source}.")
    return contract


def _lines(node: yaml.Node | None, place: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], int]:
    """The line of every key and item of a document, by its path."""
    found: dict[tuple[Any, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, key.value)
            found[here] = key.start_mark.line + 1
            found |= _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*place, index)
            found[here] = value.start_mark.line + 1
            found |= _lines(value, here)
    return found
