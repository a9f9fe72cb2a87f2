"""A browser for tests of pages: the Chromium that is here, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator:
    """A running browser; the test is skipped where there is none.

    `AQA_CHROMIUM` says which, else it is looked for on the path.
    """
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("AQA_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on this machine; AQA_CHROMIUM says where one is")
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with driver.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=as_root, timeout=300_000)
        try:
            yield browser
        finally:
            browser.close()
