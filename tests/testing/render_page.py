# SPDX-License-Identifier: Apache-2.0
"""Opens a page in headless Chromium (Debian's package `chromium`), without a network: what would a reader see?

    python tests/testing/render_page.py PAGE.html PICTURE.png [--dark] [--width 1200] [--height 2000]
"""
import argparse
import dataclasses
import pathlib
import shutil
import subprocess
import tempfile

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
MOST_HEIGHT_PX = 16000  # of one picture; Chromium cannot paint larger ones


@dataclasses.dataclass
class Rendering:
    dom: str  # the document as Chromium read it, as HTML
    screenshot: pathlib.Path  # PNG
    log: str  # what Chromium wrote about the page, console messages included


def find_chromium():
    """Path of the browser, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def render_page(page, screenshot, *, dark=False, width_px=1200, height_px=2000, timeout_s=120):
    """Renders the file `page` in a window of this size and writes its picture to `screenshot`. Chromium runs twice: for
    the DOM and for the picture. Raises FileNotFoundError without a browser, RuntimeError where it fails."""
    chromium = find_chromium()
    if chromium is None:
        raise FileNotFoundError("no Chromium: apt-get install chromium")
    page, screenshot = pathlib.Path(page).resolve(), pathlib.Path(screenshot).resolve()
    if height_px > MOST_HEIGHT_PX:
        raise ValueError(f"height_px: must be <= {MOST_HEIGHT_PX}, is {height_px}")
    screenshot.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
            "--force-device-scale-factor=1", f"--window-size={width_px},{height_px}", f"--user-data-dir={profile}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",  # Blink's numbers: 0 dark, 1 light
        ]
        dom = _run([chromium, *flags, "--dump-dom", page.as_uri()], timeout_s)
        picture = _run([chromium, *flags, f"--screenshot={screenshot}", page.as_uri()], timeout_s)
    if not screenshot.exists():
        raise RuntimeError(f"Chromium made no picture of {page}:\n{picture.stderr}")
    return Rendering(dom=dom.stdout, screenshot=screenshot, log=dom.stderr + picture.stderr)


def _run(command, timeout_s):
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"Chromium ended with {result.returncode}:\n{result.stderr}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("screenshot", type=pathlib.Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200, help="pixels")
    parser.add_argument("--height", type=int, default=2000, help="pixels")
    arguments = parser.parse_args()
    rendering = render_page(arguments.page, arguments.screenshot, dark=arguments.dark, width_px=arguments.width,
                            height_px=arguments.height)
    print(rendering.screenshot)


if __name__ == "__main__":
    main()
