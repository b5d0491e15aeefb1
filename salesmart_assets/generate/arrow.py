"""Arrow's compute functions as this package uses them, with types that say so: its own stubs know scalars and arrays, not both."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Array: TypeAlias = "pa.Array[Any]"
_compute = cast(Any, pc)


def joined(*pieces: Array | str) -> Array:
    """The texts of the pieces put together row by row; a piece that is one text is the same in every row."""
    return cast(Array, _compute.binary_join_element_wise(*pieces, ""))


def as_text(values: Array) -> Array:
    """Arrow's own text of each value."""
    return cast(Array, _compute.cast(values, pa.string()))


def replaced(text: Array, old: str, new: str) -> Array:
    """Each text with `old` replaced by `new`."""
    return cast(Array, _compute.replace_substring(text, old, new))


def with_values(values: Array, places: npt.NDArray[np.int64], fresh: Array) -> Array:
    """The values, with those at `places` (ascending) replaced by `fresh`."""
    mask = np.zeros(len(values), dtype=bool)
    mask[places] = True
    return cast(Array, _compute.replace_with_mask(plain(values), pa.array(mask), fresh))


def plain(values: Array) -> Array:
    """The values without a dictionary."""
    return cast(Array, cast(Any, values).dictionary_decode()) if pa.types.is_dictionary(values.type) else values


def buffer(values: Array, number: int, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """One of the array's buffers as numbers, without a copy; the array's offset is the caller's business."""
    return np.frombuffer(cast(Any, values.buffers()[number]), dtype=dtype)


def columns_of(batch: pa.RecordBatch) -> dict[str, Array]:
    """The columns of a batch by name."""
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def batch_of(columns: dict[str, Array]) -> pa.RecordBatch:
    """A batch of columns by name, in their order."""
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def array(values: Any, type_: pa.DataType | None = None, *, missing: npt.NDArray[np.bool_] | None = None) -> Array:
    """An array of the values; NULL where `missing`."""
    return cast(Array, cast(Any, pa).array(values, type=type_, mask=missing))


def looked_up(codes: Any, values: Array) -> Array:
    """A dictionary array: the value that stands at each code."""
    return cast(Array, cast(Any, pa).DictionaryArray.from_arrays(array(codes, pa.int32()), values))
