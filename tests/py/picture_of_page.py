#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""picture_of_page.py ADDRESS FILE: what a page of `scruple view` looks like, once everything that it
asked for has come. Exit code 1: Chromium does not start, or it took longer than half a minute."""
import sys

from browser import Browser
from viewer_page import Viewer


def main():
    address, path = sys.argv[1:]
    try:
        with Browser(webgl=True) as browser:
            page = Viewer(browser, address, width=1280, height=800, wait=False)
            page.wait_for("window.scruple && scruple.store.get('progress').every((p) => p.done >= 1)", 30)
            page.wait_for("scruple.views.every((view) => view.scales.final)", 30)
            page.settle()
            browser.shoot(path)
    except (OSError, RuntimeError) as error:  # TimeoutError is an OSError
        sys.exit(f"{path}: {error}")


main()
