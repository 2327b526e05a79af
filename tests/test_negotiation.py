"""Whether a client gets gzip."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_exporter.web.negotiation import prefers_gzip


@pytest.mark.parametrize(
    "header",
    [
        "gzip",
        "GZip",
        "x-gzip",
        "deflate, gzip",
        "gzip, deflate, br, zstd",
        "gzip;q=1.0, identity; q=0.5, *;q=0",
        "gzip;q=0.001",
        " gzip ; Q = 0.5 ",
        "*",
        "*;q=0.1",
        "identity;q=0, gzip;q=0.2",
        "gzip;q=0.5, identity;q=0.5",
        "br;q=1, gzip;q=0.1",  # we have no br
        "nonsense of a client, gzip",
    ],
)
def test_gzip(header: str) -> None:
    """A client that takes gzip gets it."""
    assert prefers_gzip(header.encode())


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        "identity",
        "br, zstd",
        "gzip;q=0",
        "gzip;q=0.000",
        "gzip; q=0, *",
        "*;q=0",
        "*, gzip;q=0",
        "x-gzip;q=0",
        "identity, gzip;q=0.5",
        "gzip;q=-1",
        "gzip;q=nan",
        "gzip;q=2",
        "gzip;level=1",
        "gzip;",
        "gzipped",
        "not gzip",
    ],
)
def test_no_gzip(header: str) -> None:
    """A client that does not take it, or likes something else of ours more, gets none."""
    assert not prefers_gzip(header.encode())


@settings(derandomize=True, deadline=None, database=None)
@given(st.text())
def test_anything(header: str) -> None:
    """Whatever the header is, there is an answer, and without a word of gzip or * it is no."""
    assert not prefers_gzip(header.encode()) or "gzip" in header.lower() or "*" in header
