"""What a client's Accept-Encoding allows; RFC 9110, section 12.5.3."""

from __future__ import annotations

import re
from functools import lru_cache

_ELEMENT = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


@lru_cache(maxsize=64)  # a few clients ask again and again
def prefers_gzip(accept_encoding: bytes) -> bool:
    """Tell whether a client takes gzip, and likes it as much as an answer that is not encoded.

    Args:
        accept_encoding: the header; empty where there is none.  Elements that the
            standard does not allow say nothing.
    """
    weights: dict[str, float] = {}
    for element in accept_encoding.split(b","):
        match = _ELEMENT.fullmatch(element.decode("latin-1"))
        if match is not None:
            weights[match[1].lower()] = min(1.0, float(match[2] or 1))
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    # Unless it says otherwise, a client takes an answer that is not encoded, but rather another.
    identity = weights.get("identity", 0.0)
    return gzip > 0 and gzip >= identity
