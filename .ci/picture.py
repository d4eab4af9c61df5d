"""Photograph the picker of `labkit app` for the READMEs, in both languages.

Usage: ``python .ci/picture.py``. Needs Chromium. Writes .github/picker-en.png and picker-zh.png.
"""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from labkit.core.i18n import use_language
from labkit.widgets.app_page import open_page

FOLDER = Path(__file__).parents[1] / ".github"
VRAM = "8.0"
"""GiB of the graphics card on the picture."""

CLIP = {"x": 0, "y": 110, "width": 680, "height": 640}
"""The controls and the bars; the table below them is in the lesson."""

with sync_playwright() as play:
    chromium = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    for language in ("en", "zh"):
        use_language(language)
        with open_page(port=0) as page:
            tab = chromium.new_page(viewport={"width": 1200, "height": 960})
            tab.goto(page.url, timeout=200_000)
            tab.get_by_text("Apache License 2.0").first.wait_for(timeout=200_000)
            readout = tab.locator(".widget-readout").first
            readout.fill(VRAM)
            readout.press("Enter")
            readout.blur()
            tab.wait_for_timeout(3000)  # the rows follow the slider
            tab.screenshot(path=FOLDER / f"picker-{language}.png", clip=CLIP)
            tab.close()
