"""A real Chromium for tests of pages: the one that is installed, driven without a display."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "BENCHBIRD_CHROMIUM"
"""Where the browser is, if it isn't on the path."""


def chromium() -> str:
    """The browser's program; a test that asks where there is none is skipped."""
    named = os.environ.get(VARIABLE)
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip(f"no chromium here: install Debian's package `chromium`, or name one by {VARIABLE}")
    return found


@dataclass
class Visit:
    """An open page, and what it did that it shouldn't.

    Attributes:
        page: playwright's.
        complaints: console messages and script errors.
        requests: addresses other than the page's own and data URIs.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def browse() -> Iterator[Any]:
    """A browser, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Without a sandbox of its own: tests run as root in containers.
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def visit(browser: Any, path: Path, width: int = 1440, scheme: str = "light") -> Visit:
    """Open a file, `width` pixels wide, in a light or dark scheme."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    visited = Visit(page)
    page.on("console", lambda message: visited.complaints.append(message.text))
    page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    page.on("request", lambda request: _note(visited, request.url, path))
    page.goto(path.as_uri())
    return visited


def _note(visited: Visit, url: str, path: Path) -> None:
    if not url.startswith("data:") and url.split("#")[0] != path.as_uri():
        visited.requests.append(url)
