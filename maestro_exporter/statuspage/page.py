"""The page itself, and the files that it needs beside it."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from maestro_exporter.statuspage import sparkline
from maestro_exporter.statuspage.question import Question
from maestro_exporter.statuspage.view import Known, view

CONTENT_TYPE = "text/html; charset=utf-8"
_TYPES = {
    "status.css": "text/css; charset=utf-8",
    "status.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
#: Type and content of the files beside the page, by name.
ASSETS = {
    name: (type_, (files("maestro_exporter.statuspage") / "assets" / name).read_bytes())
    for name, type_ in _TYPES.items()
}


def page(known: Known, question: Question, telemetry_path: str) -> bytes:
    """Give the page.

    Args:
        known: what is shown.
        question: which of the peers, and how.
        telemetry_path: where the metrics are.
    """
    html: str = _template().render(
        view(known, question), telemetry_path=telemetry_path, sparkline=sparkline
    )
    # A name may hold half a surrogate pair.
    return html.encode(errors="replace")


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("maestro_exporter.statuspage"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("status.html")
