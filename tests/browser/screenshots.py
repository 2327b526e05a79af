"""`make screenshots`: takes the pictures of the status page for the docs, light and dark.

A simulated cluster runs tests for some minutes, so that there are lines to be seen; then one more
is in its middle, with a wrong clock, a slow peer, and one that has died.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from maestro_exporter.notes import Generation, Role
from maestro_exporter.simulator import Peer, Scenario, Script, SimulatedCluster
from tests.e2e.browser import chromium, visit
from tests.servers import Exporter, Mosquitto, wait_for

FIGURES = Path(__file__).parents[2] / "docs/figures"
SECONDS = 400.0
SIZE = {"width": 1200, "height": 1000}
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
    with Mosquitto() as broker:
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
                            return running and "Missing" in there.text("#said")

                        wait_for(is_ready, "a test that runs, and a peer that is missing", 200)
                        there.page.screenshot(path=path, full_page=True)
                        sys.stderr.write(f"{path}\n")
            finally:
                cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
