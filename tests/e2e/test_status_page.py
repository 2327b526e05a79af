"""The status page in a real browser, with a simulated cluster in the middle of a test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from playwright.sync_api import Browser

from maestro_exporter.notes import Role, Test, TestStarted
from maestro_exporter.simulator import Peer, SimulatedCluster, Work
from tests.e2e.browser import Visit, chromium, narrow, visit
from tests.e2e.clusters import V1_5, exporter_of, simulated, wait_for_value
from tests.servers import Exporter, Mosquitto, http_get, wait_for

pytestmark = [pytest.mark.source, pytest.mark.long]

#: It is down after this, and on the page at the next look, a second later.
EXPIRY = "--peer-expiry=1500ms"
HOSTILE_NAME = "<script>alert('name')</script>"
HOSTILE_HOST = '"><img src=x onerror=alert("host")>'
HOSTILE_TEST = "</bdi><script>alert('test')</script>"
COLUMNS = (
    "Type",
    "Peer",
    "State",
    "Last reply",
    "Rate, messages/s",
    "Messages",
    "Connections",
    "Round trip",
    "Clock offset",
)
MANY = 1000


@dataclass(slots=True)
class Lab:
    """A cluster in the middle of a test, and who shows it.

    Attributes:
        doomed: a peer that may die.
    """

    exporter: Exporter
    cluster: SimulatedCluster
    doomed: Peer

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"{self.exporter.url}/"


def announced() -> Test:
    return Test(
        number=7,
        iteration=1,
        name="steady",
        script_name=HOSTILE_TEST,
        description="",
        comments="",
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    workers = [
        Peer(V1_5, role, f"node-{number}", name="worker")
        for number, role in enumerate([Role.SENDER, Role.RECEIVER] * 6, 1)
    ]
    doomed = Peer(V1_5, Role.AGENT, "node-20", name="doomed")
    others = [
        doomed,
        Peer(V1_5, Role.INSPECTOR, HOSTILE_HOST, name=HOSTILE_NAME),
        Peer(V1_5, Role.AGENT, "node-21", name="late", clock_skew_seconds=-0.25),
        Peer(V1_5, Role.AGENT, "node-22", name="slow", delay_seconds=0.1),
        *(Peer(V1_5, Role.INSPECTOR, "node-23", name="twin") for _ in range(2)),
    ]
    with (
        Mosquitto() as broker,
        simulated(broker, *workers, *others) as cluster,
        exporter_of(broker, EXPIRY) as exporter,
    ):
        for peer in workers:
            cluster.notify(peer, peer.say(TestStarted, test=announced(), message=""))
            lag = 0.5 if peer.role is Role.RECEIVER else 0.0
            peer.start(Work(started_at=cluster.now() - 60, rate=100.0, lag_seconds=lag))
        wait_for_value(exporter, 1, "maestro_test_running")
        # The page may be a second old.
        wait_for(lambda: b" of 17 peers" in http_get(f"{exporter.url}/").body, "all peers")
        yield Lab(exporter, cluster, doomed)


def rows(there: Visit) -> list[str]:
    """Give the names of the peers in the table, in their order."""
    return there.texts("#rows th bdi")


def titles(there: Visit) -> list[str]:
    """Give what is warned of."""
    return there.texts("#warnings h3")


def test_peers_and_run(browser: Browser, lab: Lab) -> None:
    """The page has the peers with figures and lines, the run with its progress, and the broker."""
    with visit(browser, lab.url) as there:
        assert there.texts("#peers thead th") == list(COLUMNS)
        assert len(rows(there)) == 17
        wait_for(lambda: there.page.locator("#rows svg").count() >= 30, "the lines of the peers")
        line = there.page.locator("#rows svg").first
        assert (line.get_attribute("aria-label") or "").startswith("rate in the last 15 minutes")
        cells = there.texts("#rows tr:has(bdi:text-is('worker@node-1')) td")
        assert cells[:2] == ["sender", "up"]
        assert float(cells[3].replace(",", "")) > 50
        assert int(cells[4].replace(",", "")) > 5000
        assert "ms" in cells[6] or "µs" in cells[6]
        assert "±" in cells[7]

        assert there.text("#run p").startswith("running test run 1, steady ")
        figures = dict(zip(there.texts("#run dt"), there.texts("#run dt + dd"), strict=True))
        sent, received, balance = (
            int(figures[name].replace(",", "")) for name in ("Sent", "Received", "Balance")
        )
        assert sent > received > 30_000
        assert balance == sent - received
        assert figures["Elapsed"].endswith(" s")
        assert "connected" in there.text("#link")
        assert "test started" in there.texts("#events td")
        there.wait_for_news()


def test_warnings(browser: Browser, lab: Lab) -> None:
    """What is wrong stands first, in words, the clock that is off before the slow peer."""
    with visit(browser, lab.url) as there:
        wait_for(lambda: len(titles(there)) >= 3, "the warnings")
        assert there.texts("main h2")[0] == "Warnings"
        known = [each for each in titles(there) if not each.startswith("Missing")]
        assert known == [
            "Clocks that are off",
            "Slow to answer",
            "Several processes under one name: their figures are added",
        ]
        (clock,) = there.texts(".warning.clock_offset li")
        assert clock.startswith("agent late@node-21 has a clock 2")
        assert clock.endswith("behind; 5 ms are allowed")
        slow = there.texts(".warning.slow li")
        assert any(each.startswith("agent slow@node-22 took ") for each in slow)
        assert there.texts(".warning.shared_name li") == ["inspector twin@node-23 is 2 processes"]
        assert there.text("#said").startswith("3 warnings: Clocks that are off; ") or there.text(
            "#said"
        ).startswith("4 warnings: Missing")


def test_hostile_names_do_no_harm(browser: Browser, lab: Lab) -> None:
    """A peer called <script> and a test called likewise are shown as they are, and nothing else."""
    with visit(browser, lab.url) as there:
        assert f"{HOSTILE_NAME}@{HOSTILE_HOST}" in rows(there)
        assert HOSTILE_TEST in there.text("#run p")
        assert there.page.locator("img").count() == 0
        scripts = there.page.evaluate("[...document.scripts].map(it => it.getAttribute('src'))")
        assert scripts == ["assets/status.js"]


def test_sorting(browser: Browser, lab: Lab) -> None:
    """Each heading sorts, and again the other way round; the mouse is not needed for it."""
    with visit(browser, lab.url) as there:
        assert rows(there)[:3] == ["worker@node-1", "worker@node-3", "worker@node-5"]
        assert there.page.locator("#peers thead th").first.get_attribute("aria-sort") == "ascending"
        there.page.click("#sort-peer")
        assert rows(there)[-3:] == ["worker@node-10", "worker@node-11", "worker@node-12"]
        there.page.focus("#sort-peer")
        there.page.keyboard.press("Enter")
        there.page.wait_for_url("**order=desc**")
        assert rows(there)[:3] == ["worker@node-12", "worker@node-11", "worker@node-10"]
        assert there.page.get_attribute("th:has(#sort-peer)", "aria-sort") == "descending"
        there.page.click("#sort-clock_offset")
        assert rows(there)[0] == "late@node-21"
        there.page.click("#sort-round_trip")
        assert rows(there)[0] == "slow@node-22"


def test_filtering(browser: Browser, lab: Lab) -> None:
    """By name, by type, and by what they are; it stays so while the page renews itself."""
    with visit(browser, lab.url) as there:
        there.page.fill("input[name=q]", "WORKER@node-1")
        there.page.select_option("select[name=type]", "receiver")
        there.page.click("form button")
        assert rows(there) == ["worker@node-10", "worker@node-12"]
        assert there.text("#found") == "1 to 2 of 2 peers, out of 17 in all"
        there.wait_for_news()
        assert rows(there) == ["worker@node-10", "worker@node-12"]
        there.page.click("form a")
        assert len(rows(there)) == 17
        there.page.select_option("select[name=show]", "warned")
        there.page.click("form button")
        assert {"late@node-21", "slow@node-22", "twin@node-23"} <= set(rows(there))
        there.page.fill("input[name=q]", "nobody")
        there.page.click("form button")
        assert there.text("#found") == "No peer is like that, out of 17."


def test_without_javascript(browser: Browser, lab: Lab) -> None:
    """All is there to be read, sorted and filtered; nothing pretends to renew itself."""
    with visit(browser, lab.url, java_script_enabled=False) as there:
        assert len(rows(there)) == 17
        assert not there.page.is_visible("#pause")
        there.page.click("#sort-clock_offset")
        assert rows(there)[0] == "late@node-21"
        there.page.fill("input[name=q]", "nobody")
        there.page.click("form button")
        assert there.text("#found") == "No peer is like that, out of 17."


def test_dying_peer(browser: Browser, lab: Lab) -> None:
    """It turns up among the warnings without a reload, is read out, and is marked in the table."""
    with visit(browser, lab.url) as there:
        there.page.evaluate("window.loaded = 1")
        lab.cluster.kill(lab.doomed)
        there.page.wait_for_selector(".warning.silent")
        assert there.page.evaluate("window.loaded") == 1
        assert titles(there)[0] == "Missing peers"
        (missing,) = there.texts(".warning.silent li")
        assert missing.startswith("agent doomed@node-20 has not answered for ")
        assert there.page.get_attribute("#said", "role") == "status"
        assert "Missing" in there.text("#said")
        assert there.page.title().startswith("(4) ")
        assert there.texts("#rows tr:has(bdi:text-is('doomed@node-20')) td")[1] == "missing"
        assert "peer left" in there.texts("#events td")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_nobody_is_kept_out(browser: Browser, lab: Lab, scheme: str, size: str) -> None:
    """axe-core finds nothing, and only tables are moved sideways, in light, dark, wide, narrow."""
    context = narrow() if size == "narrow" else {}
    with visit(browser, lab.url, color_scheme=scheme, **context) as there:
        assert there.violations() == []
        wider = "document.documentElement.scrollWidth > window.innerWidth"
        assert not there.page.evaluate(wider)
        background = there.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_keyboard(browser: Browser, lab: Lab) -> None:
    """The first stop leads to the peers; the updates can be stopped, and resumed."""
    with visit(browser, lab.url) as there:
        there.page.keyboard.press("Tab")
        assert there.page.evaluate("document.activeElement.innerText") == "Skip to the peers"
        there.page.keyboard.press("Enter")
        assert there.page.evaluate("document.activeElement.id") == "peers"
        there.page.focus("#pause")
        there.page.keyboard.press("Space")
        assert there.text("#pause") == "Resume updates"
        asked = len(there.requests)
        there.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        assert len(there.requests) == asked
        there.page.keyboard.press("Space")
        assert there.text("#pause") == "Pause updates"
        wait_for(lambda: there.page.title() and len(there.requests) > asked, "another request")


def test_exporter_that_is_gone(browser: Browser) -> None:
    """The page says since when it has no news, and why; it goes on when the exporter is back."""
    with (
        Mosquitto() as broker,
        exporter_of(broker) as exporter,
        visit(browser, f"{exporter.url}/") as there,
    ):
        exporter.stop()
        there.page.wait_for_selector("#trouble:not([hidden])")
        trouble = there.text("#trouble")
        assert trouble.startswith("What you see is of ")
        assert trouble.endswith("no news from the exporter since then (it does not answer).")
        assert there.page.get_attribute("#trouble", "role") == "alert"
        exporter.start()
        there.page.wait_for_selector("#trouble", state="hidden")
        assert {"ERR_CONNECTION_REFUSED" in each for each in there.console} == {True}
        there.console.clear()


def test_broker_that_is_away(browser: Browser) -> None:
    """The first warning says so, and why."""
    with Mosquitto() as broker:
        url = broker.url
    with (
        Exporter(f"--maestro-url={url}", "--interval=300ms") as exporter,
        visit(browser, f"{exporter.url}/") as there,
    ):
        there.page.wait_for_selector(".warning.no_broker:has-text('Connection refused')")
        assert titles(there) == ["No connection to the broker"]
        assert "not connected" in there.text("#link")
        assert there.text("#found") == "No peer has answered yet."
        assert there.violations() == []


def test_password(browser: Browser, tmp_path: Path) -> None:
    """The users of the web configuration hold for the page and all that it needs."""
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    config = tmp_path / "web.yml"
    config.write_text(f"basic_auth_users: {{joe: {hashed}}}\n", "utf-8")
    with Mosquitto() as broker, exporter_of(broker, f"--web.config.file={config}") as exporter:
        url = f"{exporter.url}/"
        credentials: Any = {"username": "joe", "password": "open sesame"}
        with visit(browser, url, http_credentials=credentials) as there:
            there.wait_for_news()
        context = browser.new_context()
        for path in ("", "assets/status.js", "api/v1/check", "api/v1/discovery"):
            answer = context.request.get(f"{url}{path}")
            assert (answer.status, "Maestro" in answer.text()) == (401, False)
        context.close()


def test_thousand_peers(browser: Browser) -> None:
    """They come in pages, and each is found by its name."""
    members = [
        Peer(V1_5, Role.SENDER, f"node-{number}", name="worker") for number in range(1, MANY + 1)
    ]
    with (
        Mosquitto() as broker,
        simulated(broker, *members),
        Exporter(f"--maestro-url={broker.url}", "--interval=2s") as exporter,
    ):
        wait_for(lambda: b" of 1,000 peers" in http_get(f"{exporter.url}/").body, "all peers")
        with visit(browser, f"{exporter.url}/") as there:
            assert there.text("#found") == "1 to 100 of 1,000 peers"
            assert len(rows(there)) == 100
            there.page.click("#next")
            assert there.text("#pages") == "Previous page 2 of 10 Next"
            assert rows(there)[0] == "worker@node-101"
            there.page.fill("input[name=q]", "node-77")
            there.page.keyboard.press("Enter")
            there.page.wait_for_url("**q=node-77**")
            assert len(rows(there)) == 11
            assert rows(there)[:2] == ["worker@node-77", "worker@node-770"]
            assert there.violations() == []
