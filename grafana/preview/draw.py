"""Draws a board from a Prometheus into a PNG, with Chromium; `--help` has the options."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

FOLDER = Path(__file__).parents[1]
UNIT = 38  # pixels, as in app.jsx
CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
)


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main(argv: Sequence[str]) -> int:
    """Draw it; give the exit status."""
    options = _options(argv)
    board = FOLDER / "dashboards" / f"{options.board}.json"
    if not board.is_file() or not (FOLDER / "preview/build/app.js").is_file():
        sys.stderr.write(f"draw: no {board}, or `npm run build` has not been run\n")
        return 2
    if shutil.which(CHROMIUM[0]) is None:
        sys.stderr.write("draw: chromium is not installed\n")
        return 2
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(FOLDER))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        query = {
            "board": f"/dashboards/{options.board}.json",
            "prometheus": options.prometheus,
            "from": options.to - options.minutes * 60,
            "to": options.to,
            "theme": options.theme,
            "unfolded": str(options.unfolded).lower(),
            **dict(each.split("=", 1) for each in options.var),
        }
        url = f"http://127.0.0.1:{server.server_port}/preview/?{urlencode(query)}"
        height = _height(json.loads(board.read_text("utf-8")), unfolded=options.unfolded)
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(  # noqa: S603 - our own arguments
                [
                    *CHROMIUM,
                    f"--user-data-dir={profile}",
                    f"--window-size={options.width},{height}",
                    f"--screenshot={options.output.resolve()}",
                    url,
                ],
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
        server.shutdown()
    problems = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    sys.stderr.write("".join(f"{line}\n" for line in problems))
    return done.returncode


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="draw", description="Draw a board from a Prometheus that has data of a cluster."
    )
    parser.add_argument("board", help="maestro-test-cluster or maestro-brokers")
    parser.add_argument("output", type=Path, help="the PNG to write")
    parser.add_argument(
        "--prometheus", default="http://127.0.0.1:9090", metavar="URL", help="default: %(default)s"
    )
    parser.add_argument(
        "--to",
        type=int,
        default=int(time.time()),
        metavar="TIME",
        help="end of the range, Unix time (default: now)",
    )
    parser.add_argument(
        "--minutes", type=int, default=30, help="length of the range (default: %(default)s)"
    )
    parser.add_argument("--theme", choices=["dark", "light"], default="dark")
    parser.add_argument("--width", type=int, default=1500, help="pixels (default: %(default)s)")
    parser.add_argument("--unfolded", action="store_true", help="open the folded rows")
    parser.add_argument(
        "--var", action="append", default=[], metavar="NAME=REGEX", help="a variable of the board"
    )
    return parser.parse_args(argv)


def _height(board: dict[str, list[dict[str, dict[str, int]]]], *, unfolded: bool) -> int:
    """Give the height of all that is shown, in pixels."""
    panels = list(board["panels"])
    if unfolded:
        panels += [each for row in board["panels"] for each in row.get("panels", [])]  # type: ignore[misc]
    return 8 + UNIT * max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
