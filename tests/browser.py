"""A real browser without a window: what a page looks like, what it says on the console, what it asks for."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"),
)
ITS_OWN = ("google.com", "googleapis.com", "gstatic.com")
"""Hosts that the browser itself asks for, whatever it shows; no page here names them."""


@dataclass(frozen=True)
class Shot:
    """A page as it was shown."""

    pixels: NDArray[np.uint8]
    """[height, width, 3]."""
    console: list[str]
    requests: list[str]
    """What the page asked of a network."""

    def near(self, colour: str, distance: int = 24) -> int:
        """How many pixels have about this colour."""
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.int16)
        return int((np.abs(self.pixels.astype(np.int16) - wanted) <= distance).all(axis=-1).sum())


def browser() -> str:
    """The program; skips where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        # A program of the system, which pip cannot bring.
        pytest.skip("needs a browser: apt-get install chromium")
    return found


def shown(page: Path, *, width: int = 1280, height: int = 1500, dark: bool = False) -> Shot:
    """Show a page in a window of this size, offline, with a profile of its own."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="dkd-browser-", ignore_cleanup_errors=True) as scratch:
        picture, network = Path(scratch) / "shot.png", Path(scratch) / "net.json"
        done = subprocess.run(
            [
                browser(),
                *FLAGS,
                *(["--force-dark-mode"] if dark else []),
                f"--user-data-dir={scratch}/profile",
                f"--window-size={width},{height}",
                f"--log-net-log={network}",
                f"--screenshot={picture}",
                page.resolve().as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert picture.is_file(), done.stderr
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return Shot(pixels, console, _requests(network.read_text(encoding="utf-8")))


def _requests(log: str) -> list[str]:
    try:
        events = json.loads(log)["events"]
    except ValueError:  # a browser that ends at once leaves its log without an end
        events = json.loads(log.rstrip().rstrip(",") + "]}")["events"]
    urls = {event["params"]["url"] for event in events if "url" in (event.get("params") or {})}
    asked = [url for url in urls if urlsplit(url).scheme in ("http", "https", "ws", "wss")]
    return sorted(url for url in asked if not (urlsplit(url).hostname or "").endswith(ITS_OWN))
