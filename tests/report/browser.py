"""A real browser for the pages: Chromium by playwright, where both are installed."""

import os
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-zygote"]


def executable(own):
    """The browser: `HFFT_CHROMIUM`, playwright's own, or one on the path; skips the test without any.

    Args:
        own: where playwright would have its own.
    """
    given = os.environ.get("HFFT_CHROMIUM")
    found = [given] if given else [own, *(shutil.which(name) for name in NAMES)]
    usable = next((path for path in found if path and Path(path).is_file()), None)
    if usable is None:
        pytest.skip("no Chromium: run `playwright install chromium`, or set HFFT_CHROMIUM to the path of one")
    return usable


def open_browser():
    """Yields the browser; skips the test where playwright or Chromium is missing or cannot be started."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'hfft[browser]'")
    with api.sync_playwright() as playwright:
        path = executable(playwright.chromium.executable_path)
        try:
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except api.Error as error:
            pytest.skip(f"{path} cannot be started: {str(error).splitlines()[0]}")
        yield browser
        browser.close()
