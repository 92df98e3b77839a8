"""The tutorial's pictures, of a folder in which it was followed.

python -m tests.walkthrough docs/tutorial.md FOLDER && python -m tests.tutorial_pictures FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from tests.browser import browse, visit

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
COPIES = {
    "sheet.png": ("tutorial-sheet.png", 1000),
    "marked/SYN_test_000039_overlay.png": ("tutorial-overlay.png", 500),
}
"""File in the folder → picture and its greatest width."""


def draw(folder: Path) -> None:
    """Write each picture of the tutorial."""
    for source, (name, width) in COPIES.items():
        with Image.open(folder / source) as picture:
            picture.thumbnail((width, width))
            picture.quantize(64).save(PICTURES / name, optimize=True)
    (report,) = folder.glob("results/first/*/report.html")
    shot = folder / "report.png"
    with browse() as browser:
        visit(browser, report, width=1000).page.screenshot(path=shot)
    with Image.open(shot) as picture:
        picture.convert("RGB").quantize(64).save(PICTURES / "tutorial-report.png", optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
