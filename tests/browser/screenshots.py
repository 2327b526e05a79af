"""`make screenshots`: takes the pictures of the status page for the docs, light and dark.

A simulated cluster runs tests for some minutes, so that there are lines to be seen; then one more
is in its middle, with a wrong clock, a slow peer, and one that has died.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

from maestro_exporter.notes import Generation, Role
from maestro_exporter.simulator import Peer, Scenario, Script, SimulatedCluster
from tests.e2e.browser import chromium, visit
from tests.servers import Exporter, Mosquitto, wait_for

FIGURES = Path(__file__).parents[2] / "docs/figures"
SECONDS = 400.0
SIZE = {"width": 1200, "height": 1000}
MARGIN = 16  # pixels below the peers, with which it ends
SCENARIO = Scenario(
    peers=12,
    protocols=(Generation.V1_5,),
    seed=3,
    test_seconds=100,
    pause_seconds=20,
    rate=900,
    failure_share=0.4,
    dying_share=0,
    slow_share=0,
    skew_seconds=0,
)


def main() -> int:
    """Take them; give the exit status."""
    script = Script(SCENARIO)
    doomed = Peer(Generation.V1_5, Role.AGENT, "node-0013.example.com")
    others = [
        doomed,
        Peer(Generation.V1_5, Role.AGENT, "node-0014.example.com", clock_skew_seconds=-0.012),
        Peer(Generation.V1_5, Role.INSPECTOR, "node-0015.example.com", delay_seconds=0.08),
    ]
    # Else it would hold back small messages for 40 ms.
    with Mosquitto(extra=["set_tcp_nodelay true"]) as broker:
        cluster = SimulatedCluster(broker.url, [*script.peers, *others], events=script.events())
        options = (f"--maestro-url={broker.url}", "--interval=2s", "--peer-expiry=6s")
        with Exporter(*options) as exporter, chromium() as browser:
            cluster.start()
            try:
                sys.stderr.write(f"the cluster runs for {SECONDS:g} s\n")
                time.sleep(SECONDS)
                cluster.kill(doomed)
                url = f"{exporter.url}/"
                for scheme in ("light", "dark"):
                    path = FIGURES / f"status-page-{scheme}.png"
                    with visit(browser, url, color_scheme=scheme, viewport=SIZE) as there:

                        def is_ready() -> bool:
                            running = there.texts("#run .badge")[0] == "running"
                            elapsed = there.texts("#run dd")[0]
                            is_in_its_middle = re.fullmatch(r"[3-8][0-9] s", elapsed)
                            missing = "Missing" in there.text("#said")
                            return running and missing and is_in_its_middle is not None

                        wait_for(is_ready, "the middle of a test, and a peer missing", 300)
                        box = there.page.locator("#peers").bounding_box()
                        assert box is not None
                        height = box["y"] + box["height"] + MARGIN
                        clip: Any = {"x": 0, "y": 0, "width": SIZE["width"], "height": height}
                        there.page.screenshot(path=path, full_page=True, clip=clip)
                        sys.stderr.write(f"{path}\n")
            finally:
                cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
