"""Short answers, alike wherever they are given."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

TEXT = "text/plain; charset=utf-8"

#: Load balancers and supervisors ask for these, and have no credentials.
OPEN_PATHS = (b"/-/healthy", b"/-/ready")


def answer(request: Any, code: int, content_type: str, body: bytes) -> bytes:
    """Set status and headers of an answer; give its body, empty for HEAD."""
    request.setResponseCode(code)
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body


def answer_plainly(request: Any, code: int, text: str = "") -> bytes:
    """Answer with a line of text; by default with the status and its name."""
    line = text or f"{code} {HTTPStatus(code).phrase}"
    return answer(request, code, TEXT, f"{line}\n".encode())


#: Below it are the pages for scripts; they are told of errors in a form of theirs.
API = b"/api/"
PROBLEM = "application/problem+json"


def refuse(request: Any, code: int, detail: str = "") -> bytes:
    """Answer with an error: in a line of text, or in the API as a problem by RFC 9457.

    Args:
        request: is not answered otherwise.
        code: its status.
        detail: what is wrong, on one line; may be empty.
    """
    phrase = HTTPStatus(code).phrase
    if not request.path.startswith(API):
        return answer_plainly(request, code, detail)
    problem = {"type": "about:blank", "title": phrase, "status": code}
    if detail:
        problem["detail"] = detail
    return answer(request, code, PROBLEM, f"{json.dumps(problem)}\n".encode())
