"""The plots of the reports: calm bars and tiles, as SVG that stands inside an HTML page.

Every plot is drawn twice, for a phone's and for a desk's width, so that its text is legible on both; the page shows one.
Colours are the page's own (`currentColor` and CSS variables), so that a plot follows light and dark. Only numbers, dates
and words of this program are drawn: no text from the data.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MaxNLocator

_INK, _SOFT, _GRID, _ACCENT, _PALE = "#010101", "#020202", "#030303", "#040404", "#050505"
_PAGE_COLOURS = {
    _INK: "currentColor",
    _SOFT: "var(--soft)",
    _GRID: "var(--line)",
    _ACCENT: "var(--accent)",
    _PALE: "var(--pale)",
}
_TEXT = 11
_SHADES = 12
_POINTS_PER_INCH = 72


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot in two widths; `label` says in words what it shows, for those who can't see it."""

    label: str
    narrow: Markup
    wide: Markup


def by_day(sales: Mapping[date, Decimal], label: str, *, highlight: Collection[date] = (), width: int = 860) -> Plot | None:
    """Bars of sales by day, in the order of the mapping; days in `highlight` stand out. None where nothing was sold."""
    if not any(sales.values()):
        return None
    days = list(sales)
    heights = [float(amount) for amount in sales.values()]  # a bar's pixels, not an amount
    colours = [_ACCENT if not highlight or day in highlight else _PALE for day in days]

    def draw(axes: Axes, narrow: bool) -> None:
        axes.bar(range(len(days)), heights, width=0.72, color=colours, clip_on=False)
        axes.yaxis.set_major_locator(MaxNLocator(3 if narrow else 4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.set_xlim(-0.6, len(days) - 0.4)
        step = 7 if narrow or len(days) > 31 else 3
        ticks = range((len(days) - 1) % step, len(days), step)
        axes.set_xticks(list(ticks), [f"{days[tick]:%m-%d}" for tick in ticks])

    return _plot(label, draw, narrow=(330, 170), wide=(width, 230 if width > 600 else 240))


def by_name(amounts: Sequence[tuple[str, Decimal]], label: str, *, parts: Sequence[Decimal] = (), width: int = 480) -> Plot | None:
    """Horizontal bars, first on top, each with its amount; `parts` of them stand out. None where there is nothing to show."""
    if not any(amount for _, amount in amounts):
        return None
    lengths = [float(amount) for _, amount in amounts]
    longest = max(map(abs, lengths))

    def draw(axes: Axes, _narrow: bool) -> None:
        places = range(len(amounts))
        axes.barh(places, lengths, height=0.62, color=_PALE if parts else _ACCENT, clip_on=False)
        if parts:
            axes.barh(places, [float(part) for part in parts], height=0.62, color=_ACCENT, clip_on=False)
        for place, length in zip(places, lengths, strict=True):
            axes.text(max(length, 0) + longest * 0.02, place, compact(length), va="center_baseline", color=_INK, fontsize=_TEXT)
        axes.set_yticks(list(places), [name for name, _ in amounts])
        axes.set_xticks([])
        axes.set_xlim(min(0.0, *lengths), longest * 1.2)
        axes.set_ylim(len(amounts) - 0.5, -0.5)

    height = 12 + 25 * len(amounts)
    return _plot(label, draw, narrow=(330, height), wide=(width, height))


def by_day_and_store(sales: Mapping[tuple[str, date], Decimal], stores: Sequence[str], days: Sequence[date], label: str) -> Plot | None:
    """Tiles, one for each store (row) and day (column): the stronger the colour, the more was sold. None where nothing was."""
    highest = max((float(amount) for amount in sales.values()), default=0.0)
    if highest <= 0:
        return None

    tiles: dict[int, list[Path]] = {}
    for row, store in enumerate(stores):
        for column, day in enumerate(days):
            strength = max(float(sales.get((store, day), Decimal(0))), 0.0) / highest
            tiles.setdefault(ceil(strength * _SHADES), []).append(_tile(row, column))

    def draw(axes: Axes, narrow: bool) -> None:
        for shade, alike in sorted(tiles.items()):
            colour, alpha = (_ACCENT, 0.1 + 0.9 * shade / _SHADES) if shade else (_GRID, 0.6)
            axes.add_patch(PathPatch(Path.make_compound_path(*alike), facecolor=colour, linewidth=0, alpha=round(alpha, 2)))
        step = 7 if narrow else 2
        axes.set_xticks(list(range(0, len(days), step)), [f"{day:%d}" for day in days[::step]])
        axes.set_yticks(list(range(len(stores))), list(stores))
        axes.set_xlim(-0.5, len(days) - 0.5)
        axes.set_ylim(len(stores) - 0.5, -0.5)

    return _plot(label, draw, narrow=(330, 30 + 16 * len(stores)), wide=(860, 36 + 24 * len(stores)))


def _tile(row: int, column: int) -> Path:
    left, right, top, bottom = column - 0.44, column + 0.44, row - 0.42, row + 0.42
    return Path([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], closed=True)


def compact(value: float) -> str:
    """A number short enough for a plot.

    >>> compact(950), compact(12_340), compact(2_500_000), compact(0.5)
    ('950', '12.3k', '2.5M', '0.5')
    """
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{sign}" if abs(value) < size * 999.5 else f"{value / size:,.0f}{sign}"
    return f"{value:.3g}"


def _plot(label: str, draw: Callable[[Axes, bool], None], *, narrow: tuple[int, int], wide: tuple[int, int]) -> Plot:
    return Plot(label, _svg(label, draw, narrow, True), _svg(label, draw, wide, False))


def _svg(label: str, draw: Callable[[Axes, bool], None], size: tuple[int, int], narrow: bool) -> Markup:
    """One drawing, `size` in CSS pixels at its natural width."""
    width, height = size
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "salesmart", "text.parse_math": False}):
        figure = Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03)  # type: ignore[union-attr,call-arg]
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        draw(axes, narrow)
        axes.tick_params(left=False, bottom=False, labelsize=_TEXT, labelcolor=_SOFT)
        picture = io.BytesIO()
        figure.savefig(picture, format="svg", transparent=True, metadata={"Date": None})
    return _inline(picture.getvalue(), label)


def _inline(picture: bytes, label: str) -> Markup:
    """An SVG file as an element of an HTML page: no ids, no foreign namespaces, no fonts or colours of its own."""
    root = ElementTree.fromstring(picture)  # noqa: S314 - drawn by this module a moment ago
    for parent in root.iter():
        parent.tag = parent.tag.rpartition("}")[2]
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "defs"):
                parent.remove(child)
        for name in ("id", "clip-path"):  # nothing is drawn outside the axes
            parent.attrib.pop(name, None)
        parent.tail = None
        parent.text = parent.text if parent.tag == "text" else None
        if "d" in parent.attrib:
            parent.attrib["d"] = " ".join(parent.attrib["d"].split())
        if "style" in parent.attrib:
            parent.attrib["style"] = _page_style(parent.attrib["style"])
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - the serializer has escaped every text


def _page_style(style: str) -> str:
    """The style without its font family, and with the page's colours."""
    kept = [part.strip() for part in style.split(";") if not part.strip().startswith("font-family")]
    text = "; ".join(kept)
    for drawn, colour in _PAGE_COLOURS.items():
        text = text.replace(drawn, colour)
    return text
