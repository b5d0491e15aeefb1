"""Takes the pictures of the documentation anew: `make screenshots`.

A fresh installation runs the demo and then `salesmart dev`; a headless Chromium opens the pages that people use, checks
that each shows what it should, and writes it to docs/images. Ends with 1, and says why, if a page does not.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from PIL import Image
from playwright.sync_api import Browser, Error, FloatRect, Page, sync_playwright

from salesmart_assets_tests.chaos import Served
from salesmart_assets_tests.end_to_end.conftest import Installation

IMAGES = Path(__file__).parent.parent / "docs" / "images"
MOST_BYTES = 200_000
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 60_000
# What the UI says when something is wrong, on any page.
_TROUBLE = ("Unexpected Application Error", "GraphQL error", "failed to load", "Page not found", "could not be found", "Loading error")


class Wrong(Exception):
    """A page that does not show what it should."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A page, the texts it must show, and the part of it that is taken: `prepare` gets the page ready and may name one."""

    name: str
    address: str
    shows: tuple[str, ...]
    width: int = 1440
    height: int = 900
    prepare: Callable[[Page], FloatRect | None] = lambda _: None


def of_ui(base: str, location: str, run_id: str) -> list[Picture]:
    """The UI's pages that people use most."""
    return [
        Picture("graph", f"{base}/asset-groups", ("landing", "staging", "warehouse", "marts", "reports"), 2200, 1900, _all_groups),
        Picture("asset", f"{base}/assets/fact_sales?view=overview", ("Every sold line", "sales_person_id", "retail-data"), height=1100),
        Picture("checks", f"{base}/assets/fact_sales?view=checks", ("reconciles_with_staging", "known_members"), height=680),
        Picture("runs", f"{base}/runs", ("load_batch", "Success"), height=640),
        Picture("run", f"{base}/runs/{run_id}", ("load_batch", 'Finished execution of run for "load_batch"')),
        Picture("sensor", f"{base}/locations/{location}/sensors/landing_sensor", ("Looks for objects", "0 runs requested"), height=700),
    ]


def of_reports(folder: Path) -> list[Picture]:
    """The newest daily and monthly report, on a desk and in a hand."""
    newest = {kind: max((folder / kind).glob("*.html")) for kind in ("daily", "monthly")}
    return [
        Picture(f"{kind}-{width}", page.as_uri(), (page.stem, "Leaders of", "Data quality"), width, height, _fits)
        for kind, page in newest.items()
        for width, height in ((1280, 1500), (390, 1400))
    ]


def _all_groups(page: Page) -> FloatRect:
    """Open every group of the graph; what is taken is the graph alone."""
    page.keyboard.press("Alt+e")
    page.get_by_text("sales_team_mart").locator("visible=true").first.wait_for()
    page.wait_for_timeout(2000)
    # The buttons float over the graph.
    page.evaluate(
        """() => {
          let part = document.querySelector('[aria-label=zoom_in]');
          while (getComputedStyle(part).position !== 'absolute') part = part.parentElement;
          part.style.opacity = 0;
        }"""
    )
    for _ in range(5):
        box = page.evaluate(
            """() => {
              const boxes = [...document.querySelectorAll('foreignObject')].map(e => e.getBoundingClientRect());
              const x = Math.min(...boxes.map(b => b.left)), y = Math.min(...boxes.map(b => b.top));
              const right = Math.max(...boxes.map(b => b.right)), bottom = Math.max(...boxes.map(b => b.bottom));
              const around = document.querySelector('foreignObject').closest('svg').parentElement.parentElement.getBoundingClientRect();
              const inside = x > around.left && y > around.top && right < around.right && bottom < around.bottom;
              return {inside, x: x - 20, y: y - 20, width: right - x + 40, height: bottom - y + 40};
            }"""
        )
        if box.pop("inside") and box["y"] > 120:
            return cast("FloatRect", box)
        page.locator("[aria-label=zoom_out]").click()
        page.wait_for_timeout(1500)
    raise Wrong("graph: it does not fit the window.")


def _fits(page: Page) -> None:
    """A report is never wider than its window."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        raise Wrong(f"{page.title()}: the page is {wide} px wider than its window.")


def take(browser: Browser, picture: Picture) -> None:
    """Open a page, check it, and write the picture. Raises `Wrong` with the page's name and what it lacks."""
    window = {"width": picture.width, "height": picture.height}
    context = browser.new_context(viewport=cast("Any", window), color_scheme="light", timezone_id="UTC", locale="en-GB")
    context.set_default_timeout(_PATIENCE_MS)
    try:
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(error.message))
        page.goto(picture.address, wait_until="domcontentloaded")
        try:
            for text in picture.shows:
                page.get_by_text(text).locator("visible=true").first.wait_for()
            page.wait_for_timeout(2000)
            part = picture.prepare(page)
        except Error as error:
            lacks = error.message.splitlines()[-1].strip()
            says = page.inner_text("body")[:2000]
            raise Wrong(f"{picture.name}: {picture.address} does not show what it should ({lacks}). It says:\n{says}") from error
        said = page.inner_text("body")
        faults += [text for text in _TROUBLE if text in said]
        if faults:
            raise Wrong(f"{picture.name}: {picture.address} says: {'; '.join(faults)}")
        write(picture.name, page.screenshot(clip=part) if part else page.screenshot())
    finally:
        context.close()


def write(name: str, png: bytes) -> None:
    """Write a picture with few colours, to keep it small. Raises `Wrong` if it is too large even so."""
    path = IMAGES / f"{name}.png"
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise Wrong(f"{name}: the picture has {size:,} bytes and may have {MOST_BYTES:,}: show less of the page.")
    print(f"{path.name:<18}{size / 1000:4.0f} kB", flush=True)


def ask(base: str, query: str) -> dict[str, Any]:
    """The data of a GraphQL query to the UI's server."""
    request = urllib.request.Request(f"{base}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        told: dict[str, Any] = json.load(answer)["data"]
    return told


def browser_program() -> str:
    """The installed Chromium."""
    for name in _BROWSERS:
        if found := shutil.which(name):
            return found
    raise Wrong(f"There is no {' or '.join(_BROWSERS)} on the PATH: install Chromium.")


def main(names: Sequence[str]) -> int:
    """Take all pictures, or those named; returns the exit code."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="salesmart-") as folder, sync_playwright() as playwright:
        salesmart = Installation(Path(folder) / "home")
        try:
            browser = playwright.chromium.launch(executable_path=browser_program(), args=list(QUIET))
            print("The demo runs first; it takes a minute or two.", flush=True)
            salesmart("demo")
            with Served(salesmart) as served:
                base = served.address
                workspace = ask(base, "{workspaceOrError{... on Workspace{locationEntries{name}}}}")
                location = workspace["workspaceOrError"]["locationEntries"][0]["name"]
                run_id = ask(base, "{runsOrError(limit: 1){... on Runs{results{runId}}}}")["runsOrError"]["results"][0]["runId"]
                for picture in (*of_ui(base, location, run_id), *of_reports(salesmart.home / "lake" / "reports")):
                    if not names or picture.name in names:
                        take(browser, picture)
            browser.close()
        except Wrong as wrong:
            print(wrong, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
