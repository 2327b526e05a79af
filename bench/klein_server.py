"""What serving is compared with: a bare Klein route that returns the same bytes.

`python -m bench.klein_server PORT FILE TYPE ENCODING` serves the file on 127.0.0.1 at `/metrics`;
it ends when its standard input does.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet import reactor
from twisted.web.iweb import IRequest
from twisted.web.server import Site


class QuietSite(Site):
    """A server that writes no line for each request, as the exporter does not either."""

    noisy = False

    def log(self, request: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve."""
    port, path, content_type, encoding = sys.argv[1:]
    page = Path(path).read_bytes()
    app = Klein()

    @app.route("/metrics")
    def metrics(request: IRequest) -> bytes:
        request.setHeader("Content-Type", content_type)
        if encoding != "identity":
            request.setHeader("Content-Encoding", encoding)
        return page

    threads: Any = reactor

    def wait_for_the_end() -> None:
        sys.stdin.read()
        threads.callFromThread(threads.stop)

    threads.listenTCP(int(port), QuietSite(app.resource()), interface="127.0.0.1")
    threads.callWhenRunning(threading.Thread(target=wait_for_the_end, daemon=True).start)
    threads.run()


if __name__ == "__main__":
    main()
