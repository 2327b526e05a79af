"""What can befall the link to the broker, and what the exporter makes of it.

Each fault is struck on a real exporter and a real mosquitto, and mended again.  Meanwhile test
results are published past it, with quality of service 2 as the peers of 1.5 do, and in the end
each of them must be counted once; or, where the broker forgets them, the loss must be seen.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from paho.mqtt import publish

from tests.faults.brokers import PASSWORD, USER, ForbiddingMosquitto
from tests.faults.certificates import Certificates, Pair
from tests.faults.lab import (
    DROPPED,
    ERRORS,
    PATIENCE,
    SESSIONS_LOST,
    SUCCESSES,
    Lab,
    Publisher,
    Watched,
)
from tests.faults.proxy import REFUSED_VERSION, Proxy
from tests.faults.resolving import NAME, Names, silent_name_server
from tests.servers import Mosquitto, wait_for

FEW, SOME, MANY = 5, 50, 1000
WINDOW = 20.0  # seconds in which attempts to connect are looked at
OWN_ID = "--mqtt.client-id=the-exporter"
SECRET = "Geheimnis-0815"
CONNACK_5 = bytes.fromhex("2003010000")  # with a session
UNAVAILABLE_5 = bytes.fromhex("2003008800")
AUTOSAVE = ("autosave_interval 1", "autosave_on_changes true")
ALL_REASONS = ""  # whatever it is

#: Makes the parts, and gives the exporter, which is not started yet.
Setup = Callable[[Lab], Watched]
Step = Callable[[Lab], object]


class Fate(Enum):
    """What becomes of results that are published while the fault lasts."""

    KEPT = "all are counted"
    FORGOTTEN = "the broker has forgotten the session, and the exporter says so"
    DROPPED = "the broker had no room for some, and both say so"
    UNKNOWN = "they change on the way"


def _nothing(_lab: Lab) -> None:
    """Do it."""


def _publish_some(lab: Lab) -> None:
    lab.publish(SOME)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One of them.

    Attributes:
        name: for people, and for the table.
        setup: makes the parts.
        strike: what happens to a connection that is up; None where the fault is there from the
            start.
        reason: the label by which it is counted; None where there is nothing to be noticed.
        message: what is said of it.
        times: how often it is counted before this goes on.
        meanwhile: what is done while it lasts.
        mend: what ends it; nothing where the exporter comes to terms with it by itself.
        fate: of results that are published meanwhile.
        seconds: about how long it takes; those that take longest are begun first.
    """

    name: str
    setup: Setup
    strike: Step | None = None
    reason: str | None = None
    message: str = ""
    times: int = 1
    meanwhile: Step = _nothing
    mend: Step = _nothing
    fate: Fate = Fate.KEPT
    seconds: float = 5

    @property
    def mends(self) -> bool:
        """Whether anything ends it."""
        return self.mend is not _nothing


class Outcome(NamedTuple):
    """How it went.

    Attributes:
        notice: seconds until the exporter showed it; None where there was nothing to show.
        recover: seconds from its end until the exporter was connected.
        published: results, while it lasted.
        lost: of these; None where that cannot be known.
    """

    notice: float | None
    recover: float
    published: int
    lost: int | None


def run(fault: Fault, certificates: Certificates) -> Outcome:
    """Let it happen.

    Raises:
        AssertionError: the exporter did not do what it should; has what the programs printed.
    """
    with Lab(certificates) as lab:
        try:
            return _run(fault, lab)
        except Exception as error:
            raise AssertionError(
                f"{fault.name}: {str(error) or repr(error)}\n{lab.outputs()}"
            ) from error


def _run(fault: Fault, lab: Lab) -> Outcome:
    exporter = lab.exporter = fault.setup(lab)
    errors = 0.0
    if fault.strike is None:
        begin = time.monotonic()
        exporter.start()
    else:
        exporter.start()
        exporter.wait_up()
        lab.publish(FEW)
        exporter.wait_value(FEW, SUCCESSES)
        if fault.fate is Fate.DROPPED:
            exporter.wait(lambda: _says_drops(exporter), "the broker to say what it dropped")
            lab.dropped = exporter.value(DROPPED)
        lab.meanwhile, lab.seen = 0, len(exporter.output())
        errors = _errors(exporter, fault.reason)
        begin = time.monotonic()
        fault.strike(lab)
    notice = None
    if fault.reason is not None:
        exporter.wait(lambda: _noticed(fault, lab, errors), "the exporter to notice")
        notice = time.monotonic() - begin
        exporter.status()
    begin = time.monotonic()
    fault.meanwhile(lab)
    if fault.mends:
        begin = time.monotonic()
        fault.mend(lab)
    exporter.wait_up()
    recover = time.monotonic() - begin
    lost = _account(fault, lab)
    published = lab.meanwhile
    # It works again, and nothing comes late.
    exporter.wait(lambda: not exporter.unready(), "a round of requests")
    lab.publish(FEW)
    exporter.wait_value(lab.expected, SUCCESSES)
    if fault.reason is None:
        assert _errors(exporter, ALL_REASONS) == 0
    lab.check()
    return Outcome(notice, recover, published, lost)


def _noticed(fault: Fault, lab: Lab, before: float) -> bool:
    """Tell whether the exporter shows all that it should of the fault that is there."""
    exporter, message = lab.exporter, fault.message
    if _errors(exporter, fault.reason) < before + fault.times or exporter.up:
        return False
    return message in exporter.unready() and any(
        message in line and ("Cannot " in line or "is lost: " in line)
        for line in exporter.output()[lab.seen :].splitlines()
    )


def _errors(exporter: Watched, reason: str | None) -> float:
    """Give how many errors there were, of a reason or of all."""
    return sum(
        value
        for (name, labels), value in exporter.page().items()
        if name == ERRORS and (not reason or dict(labels)["reason"] == reason)
    )


def _says_drops(exporter: Watched) -> bool:
    return (DROPPED, frozenset[tuple[str, str]]()) in exporter.page()


def _account(fault: Fault, lab: Lab) -> int | None:
    """Give how many results are lost: that this is known is what is asked for."""
    exporter = lab.exporter
    if fault.fate is Fate.UNKNOWN:
        lab.expected = _settled(exporter)
        return None
    lost = 0
    if fault.fate is Fate.FORGOTTEN:
        exporter.wait_said("were published meanwhile are lost", lab.seen)
        assert exporter.value(SESSIONS_LOST) == 1
        lost = lab.meanwhile
    else:
        assert exporter.value(SESSIONS_LOST) == 0
    if fault.fate is Fate.DROPPED:
        exporter.wait(lambda: exporter.value(DROPPED) > lab.dropped, "the broker to tell of drops")
        exporter.wait_said("says that it dropped", lab.seen)
        lost = lab.expected - _settled(exporter)
        assert exporter.value(DROPPED) - lab.dropped == lost
    lab.expected -= lost
    exporter.wait_value(lab.expected, SUCCESSES)
    return lost


def _settled(exporter: Watched) -> int:
    """Give how many successes there are when there are no more for a while."""
    known, since = -1.0, time.monotonic()

    def settled() -> bool:
        nonlocal known, since
        value = exporter.value(SUCCESSES)
        if value != known:
            known, since = value, time.monotonic()
        return time.monotonic() - since > 2

    exporter.wait(settled, "results to come to an end")
    return int(known)


# ----------------------------------------------------------------------- parts


def _plain(
    *options: str,
    launcher: str = "console",
    persistence: bool = False,
    extra: Sequence[str] = (),
    strike: Callable[[Proxy], object] = lambda _: None,
) -> Setup:
    """Give a broker for everybody, and the proxy before it, with which something may be amiss."""

    def setup(lab: Lab) -> Watched:
        lab.broker = lab.start(Mosquitto(persistence=persistence, extra=extra))
        lab.proxy = lab.between(lab.broker.port)
        strike(lab.proxy)
        return lab.own(Watched(f"--maestro-url={lab.proxy.url}", *options, launcher=launcher))

    return setup


def _absent(lab: Lab) -> Watched:
    lab.broker = lab.own(Mosquitto())
    return lab.own(Watched(f"--maestro-url={lab.broker.url}", launcher="twistd"))


def _alone(*options: str) -> Setup:
    """Give a broker and an exporter without anything in between."""

    def setup(lab: Lab) -> Watched:
        lab.broker = lab.start(Mosquitto())
        return lab.own(Watched(f"--maestro-url={lab.broker.url}", *options))

    return setup


def _forbidding(*topics: str) -> Setup:
    def setup(lab: Lab) -> Watched:
        lab.broker = lab.start(_LockingMosquitto(*topics))
        lab.proxy = lab.between(lab.broker.port)
        password = _write(lab, "password", PASSWORD)
        url = f"--maestro-url=mqtt://{USER}@127.0.0.1:{lab.proxy.port}"
        return lab.own(Watched(url, f"--mqtt.password-file={password}", secrets=[PASSWORD]))

    return setup


class _LockingMosquitto(ForbiddingMosquitto):
    """A broker that can lock out the user `USER`."""

    def lock(self) -> None:
        """End the user's connection, with word why, and take no other."""
        self._command(command="disableClient", username=USER)

    def unlock(self) -> None:
        """Take it in again."""
        self._command(command="enableClient", username=USER)


def _forbidding_broker(lab: Lab) -> _LockingMosquitto:
    assert isinstance(lab.broker, _LockingMosquitto)
    return lab.broker


# ------------------------------------------------------------------- passwords


def _write(lab: Lab, name: str, content: str) -> Path:
    path = lab.folder / name
    path.write_text(content)
    return path


def _wrong_password_file(lab: Lab) -> Watched:
    lab.broker = lab.start(Mosquitto(users={USER: SECRET}))
    lab.proxy = lab.between(lab.broker.guarded_port)
    path = _write(lab, "password", f"not {SECRET}\n")
    options = (f"--mqtt.username={USER}", f"--mqtt.password-file={path}")
    url = f"--maestro-url={lab.proxy.url}"
    return lab.own(Watched(url, *options, secrets=[SECRET]))


def _right_password_file(lab: Lab) -> None:
    _write(lab, "password", f"{SECRET}\n")


def _wrong_password_in_url(lab: Lab) -> Watched:
    lab.broker = lab.start(Mosquitto(users={USER: f"not {SECRET}"}))
    lab.proxy = lab.between(lab.broker.guarded_port)
    url = f"--maestro-url=mqtt://{USER}:{SECRET}@127.0.0.1:{lab.proxy.port}"
    return lab.own(Watched(url, secrets=[SECRET]))


def _right_password_at_broker(lab: Lab) -> None:
    lab.broker.write_users({USER: SECRET})
    lab.broker.signal(signal.SIGHUP)


# ------------------------------------------------------------------------- TLS


def _tls(
    *options: str,
    server: str = "server",
    ca: str = "ca",
    client: str | None = None,
    demanding: bool = False,
) -> Setup:
    """Give a broker with a certificate, and an exporter with a CA and a certificate.

    All are copies in the folder, so that they can be replaced; if there is a client's, or the
    broker is demanding, it wants one.

    Args:
        options: more of them.
        server, ca, client: attributes of `Certificates`; an empty CA is none.
        demanding: see above.
    """

    def setup(lab: Lab) -> Watched:
        given = list(options)
        shown = _copy(lab, "server", server)
        demands = lab.certificates.ca if client or demanding else None
        lab.broker = lab.start(Mosquitto(tls=shown.tls(demands)))
        lab.proxy = lab.between(lab.broker.guarded_port)
        if ca:
            trusted = lab.folder / "ca.pem"
            shutil.copy(getattr(lab.certificates, ca), trusted)
            given.append(f"--mqtt.ca-file={trusted}")
        if client:
            pair = _copy(lab, "client", client)
            given += [f"--mqtt.cert-file={pair.certificate}", f"--mqtt.key-file={pair.key}"]
        return lab.own(Watched(f"--maestro-url={lab.proxy.tls_url}", *given))

    return setup


def _copy(lab: Lab, file: str, name: str) -> Pair:
    """Put a certificate into the folder, in the place of another."""
    pair: Pair = getattr(lab.certificates, name)
    place = Pair(lab.folder / f"{file}.pem", lab.folder / f"{file}.key")
    shutil.copy(pair.certificate, place.certificate)
    shutil.copy(pair.key, place.key)
    return place


def _renew_server(lab: Lab) -> None:
    _copy(lab, "server", "server")
    assert lab.broker.stop() == 0
    lab.broker.start()


def _trust_server(lab: Lab) -> None:
    shutil.copy(lab.certificates.ca, lab.folder / "ca.pem")


def _give_certificate(lab: Lab) -> None:
    """Start the exporter again, with a certificate."""
    pair = lab.certificates.client
    lab.exporter.check()
    assert lab.exporter.stop() == 0
    lab.exporter.options += (f"--mqtt.cert-file={pair.certificate}", f"--mqtt.key-file={pair.key}")
    lab.exporter.start()


def _plain_client_at_tls_port(lab: Lab) -> Watched:
    lab.broker = lab.start(Mosquitto(tls=lab.certificates.server.tls()))
    lab.proxy = lab.between(lab.broker.guarded_port)
    return lab.own(Watched(f"--maestro-url={lab.proxy.url}"))


def _make_port_plain(lab: Lab) -> None:
    port = lab.broker.guarded_port
    assert lab.broker.stop() == 0
    lab.broker = lab.start(Mosquitto(port))


def _tls_client_at_plain_port(lab: Lab) -> Watched:
    lab.broker = lab.start(Mosquitto())
    lab.proxy = lab.between(lab.broker.port)
    option = f"--mqtt.ca-file={lab.certificates.ca}"
    return lab.own(Watched(f"--maestro-url={lab.proxy.tls_url}", option))


def _make_port_tls(lab: Lab) -> None:
    port, pair = lab.broker.port, lab.certificates.server
    assert lab.broker.stop() == 0
    lines = [f"listener {port} 127.0.0.1", f"certfile {pair.certificate}", f"keyfile {pair.key}"]
    lab.broker = lab.start(Mosquitto(extra=lines))


# ----------------------------------------------------------------------- names


def _nameless(*, silent: bool) -> Setup:
    """Give an exporter that cannot resolve the broker's name; `resolving` says how."""

    def setup(lab: Lab) -> Watched:
        lab.broker = lab.start(Mosquitto())
        if silent:
            lab.enter(silent_name_server())
        names = Names(lab.folder, silent=silent)
        url = f"--maestro-url=mqtt://{NAME}:{lab.broker.port}"
        return lab.own(Watched(url, prefix=names.prefix, env=names.env))

    return setup


def _name(lab: Lab) -> None:
    Names.mend_in(lab.folder)


# -------------------------------------------------------- networks and brokers


def _cut(lab: Lab) -> None:
    """Reset the connection, and let the next ones wait."""
    lab.proxy.stall()
    lab.proxy.cut()


def _treat(treatment: Callable[[Proxy], object]) -> Step:
    """Treat new connections so, and reset the one that there is."""

    def strike(lab: Lab) -> None:
        treatment(lab.proxy)
        lab.proxy.cut()

    return strike


def _end_in_message(lab: Lab) -> None:
    """Let each connection bring one message and a half."""
    lab.proxy.cut_after(300)
    lab.proxy.cut()
    lab.publish(SOME)


def _flip(lab: Lab) -> None:
    """Flip bits; what waits in the session brings traffic, until that is given up as unreadable."""
    lab.proxy.corrupt(0.05, seed=1)
    lab.publish(SOME)
    lab.proxy.cut()


def _freeze(lab: Lab) -> None:
    lab.publisher = lab.enter(Publisher(lab.broker.port))
    lab.broker.signal(signal.SIGSTOP)


def _publish_to_frozen(lab: Lab) -> None:
    lab.publisher.publish(SOME)
    lab.note(SOME)


def _thaw(lab: Lab) -> None:
    lab.broker.signal(signal.SIGCONT)
    lab.publisher.wait_acknowledged()


def _stop_broker(lab: Lab) -> None:
    assert lab.broker.stop() == 0
    _cut(lab)


def _kill_broker(lab: Lab) -> None:
    lab.broker.kill()
    _cut(lab)


def _saved(lab: Lab) -> bool:
    """Tell whether the broker has saved what it knows: it is on its way to the name last."""
    database = lab.broker.folder / "mosquitto.db"
    return database.exists() and b"maestro-exporter-" in database.read_bytes()


def _kill_saved_broker(lab: Lab) -> None:
    wait_for(lambda: _saved(lab), "the session to be saved", PATIENCE)
    _kill_broker(lab)


def _publish_to_another_life(lab: Lab) -> None:
    lab.broker.start()
    lab.publish(SOME)


def _die_again(lab: Lab) -> None:
    """Publish, and kill the broker once that is saved."""
    _publish_to_another_life(lab)
    # It saves all at once: with this, which comes last, the results are saved for the session too.
    publish.single("/last", b"the last", 1, retain=True, port=lab.broker.port)
    database = lab.broker.folder / "mosquitto.db"
    wait_for(lambda: b"the last" in database.read_bytes(), "the results to be saved", PATIENCE)
    lab.broker.kill()
    lab.broker.start()


def _resume(lab: Lab) -> None:
    lab.proxy.resume()


def _forward(lab: Lab) -> None:
    lab.proxy.forward()
    lab.proxy.cut()


def _reject_subscription(lab: Lab) -> None:
    _forbidding_broker(lab).forbid("/mpt/notifications")
    lab.proxy.cut()


def _allow_subscription(lab: Lab) -> None:
    _forbidding_broker(lab).allow()


def _lock_out(lab: Lab) -> None:
    _forbidding_broker(lab).lock()


def _publish_to_locked_out(lab: Lab) -> None:
    assert _errors(lab.exporter, "closed") == 1
    lab.publish(SOME)


def _let_in(lab: Lab) -> None:
    _forbidding_broker(lab).unlock()


def _wait_expired(lab: Lab) -> None:
    """Publish, and wait until the broker has forgotten the session."""
    lab.publish(SOME)
    wait_for(
        lambda: "Expiring client maestro-exporter-" in lab.broker.output(), "the expiry", PATIENCE
    )


def _live_without_drops(lab: Lab) -> None:
    lab.exporter.wait_up()
    lab.exporter.wait(lambda: lab.exporter.value("maestro_exporter_rounds_total") > 5, "rounds")
    assert not _says_drops(lab.exporter)
    lab.publish(SOME)


def _speaks_311(lab: Lab) -> None:
    lab.exporter.wait_up()
    assert lab.exporter.status()["broker"]["mqtt_version"] == "3.1.1"


def _watch_attempts(lab: Lab) -> None:
    """Attempts to connect come neither at once nor at a growing rate."""
    published = False

    def over() -> bool:
        nonlocal published
        if not published:
            lab.publish(SOME)
            published = True
        return time.monotonic() - begin > WINDOW and lab.proxy.connections - first > 3

    first, begin = lab.proxy.connections - 1, time.monotonic()
    lab.exporter.wait(over, "attempts")
    _check_gaps(lab.proxy.attempts[first:])


def _check_gaps(attempts: Sequence[float]) -> None:
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert min(gaps) > 0.7, gaps  # 1 s, but the first of two may have been seen late
    assert max(gaps) > 2, gaps  # what it begins with, at most
    assert len({round(gap, 2) for gap in gaps}) > 1, gaps
    assert max(gaps) < 60, gaps  # 30 s, and on what is slow here


# -------------------------------------------------------------- two exporters


def _start_second(lab: Lab, *options: str) -> None:
    """Start another exporter on the same broker, behind a proxy of its own."""
    proxy = lab.between(lab.broker.port)
    lab.second = lab.start(Watched(f"--maestro-url={proxy.url}", *options))


def _live_side_by_side(lab: Lab) -> None:
    _start_second(lab)
    lab.second.wait_up()
    lab.publish(SOME)
    for each in (lab.exporter, lab.second):
        rounds = each.value("maestro_exporter_rounds_total")
        each.wait(lambda: each.value("maestro_exporter_rounds_total") > rounds + 8, "rounds")  # noqa: B023
        assert each.value("maestro_exporter_broker_connections_total") == 1
    lab.second.wait_value(SOME, SUCCESSES)
    assert _errors(lab.second, ALL_REASONS) == 0


def _fight(lab: Lab) -> None:
    """Watch two that have the same id."""
    _start_second(lab, OWN_ID)


def _watch_fight(lab: Lab) -> None:
    """Neither comes back at once, so that they do not come ever more often."""
    lab.second.wait(lambda: _errors(lab.second, "lost"), "the second to lose it too")
    begin = time.monotonic()
    lab.exporter.wait(lambda: time.monotonic() - begin > WINDOW, "time to pass")
    for proxy in lab.proxies:
        gaps = [later - earlier for earlier, later in pairwise(proxy.attempts)]
        assert min(gaps) > 0.7, gaps
    assert "another client with the same --mqtt.client-id" in lab.second.output()


def _end_fight(lab: Lab) -> None:
    lab.second.check()
    assert lab.second.stop() == 0


# ------------------------------------------------------------ a thousand results


def _publish_many(lab: Lab) -> None:
    lab.publish(MANY)


def _cut_in_delivery(lab: Lab) -> None:
    """Let results come, each time some of them."""
    lab.publish(MANY)
    for length in (40_000, 100, 80_000):
        before, levels = lab.proxy.connections, lab.proxy.bytes_down
        lab.proxy.cut_after(length)
        lab.proxy.allow()
        lab.exporter.wait(
            lambda: (
                lab.proxy.connections > before  # noqa: B023
                and lab.proxy.bytes_down - levels >= length  # noqa: B023
            ),
            "the connection to be cut again",
        )
        lab.proxy.refuse()
    lab.proxy.cut_after(None)
    assert 0 < lab.exporter.value(SUCCESSES) < MANY


def _allow(lab: Lab) -> None:
    lab.proxy.allow()


def _refuse(lab: Lab) -> None:
    lab.proxy.refuse()


# --------------------------------------------------------- the exporter itself


def _stop_exporter(lab: Lab) -> None:
    lab.exporter.check()
    assert lab.exporter.stop() == 0
    lab.expected = 0  # a new one counts from 0 on


def _kill_exporter(lab: Lab) -> None:
    lab.exporter.check()
    lab.exporter.kill()
    lab.expected = 0


def _restart_before_hangups(lab: Lab) -> None:
    """Restart it when all attempts are hung up on, so that it tries MQTT 3.1.1 too."""
    _stop_exporter(lab)
    lab.proxy.babble(0, 0)
    lab.exporter.start()


def _start_exporter(lab: Lab) -> None:
    lab.exporter.start()


LOST = "it hung up, or the network did"
HUNG_UP = "it hung up instead of an answer"
SILENT = "no answer within 10 s"
REFUSED = "Connection refused"
NO_LIFE = "it gave no sign of life"

FAULTS: tuple[Fault, ...] = (
    # The way to it.
    Fault(
        name="the broker is not there at the start",
        setup=_absent,
        reason="unreachable",
        message=REFUSED,
        mend=lambda lab: lab.broker.start(),
    ),
    Fault(
        name="connections are refused",
        setup=_plain(launcher="twistd"),
        strike=_refuse,
        reason="unreachable",
        message=REFUSED,
        meanwhile=_publish_some,
        mend=_allow,
    ),
    Fault(
        name="the network resets the connection",
        setup=_plain(),
        strike=_cut,
        reason="lost",
        message=LOST,
        meanwhile=_publish_some,
        mend=_resume,
    ),
    Fault(
        name="the network goes silent (half-open)",
        setup=_plain(),
        strike=lambda lab: lab.proxy.stall(),
        reason="timeout",
        message=NO_LIFE,
        meanwhile=_publish_some,
        mend=_resume,
        seconds=35,
    ),
    Fault(
        name="the name cannot be resolved",
        setup=_nameless(silent=False),
        reason="dns",
        message="its name cannot be resolved",
        mend=_name,
    ),
    Fault(
        name="the server of names is silent",
        setup=_nameless(silent=True),
        reason="dns",
        message="its name cannot be resolved",
        mend=_name,
        seconds=15,
    ),
    # The broker.
    Fault(
        name="the broker is frozen",
        setup=_plain(),
        strike=_freeze,
        reason="timeout",
        message=NO_LIFE,
        meanwhile=_publish_to_frozen,
        mend=_thaw,
        seconds=35,
    ),
    Fault(
        name="the broker restarts, with persistence",
        setup=_plain(persistence=True),
        strike=_stop_broker,
        reason="lost",
        message=LOST,
        meanwhile=_publish_to_another_life,
        mend=_resume,
    ),
    Fault(
        name="the broker restarts, without persistence",
        setup=_plain(),
        strike=_stop_broker,
        reason="lost",
        message=LOST,
        meanwhile=_publish_to_another_life,
        mend=_resume,
        fate=Fate.FORGOTTEN,
    ),
    Fault(
        name="the broker is killed, twice, and saves at once",
        setup=_plain(persistence=True, extra=AUTOSAVE),
        strike=_kill_saved_broker,
        reason="lost",
        message=LOST,
        meanwhile=_die_again,
        mend=_resume,
        seconds=5,
    ),
    Fault(
        name="the broker is killed, without persistence",
        setup=_plain(),
        strike=_kill_broker,
        reason="lost",
        message=LOST,
        meanwhile=_publish_to_another_life,
        mend=_resume,
        fate=Fate.FORGOTTEN,
    ),
    Fault(
        name="the broker accepts, and says nothing",
        setup=_plain(),
        strike=_treat(Proxy.swallow),
        reason="silent",
        message=SILENT,
        meanwhile=_publish_some,
        mend=_forward,
        seconds=15,
    ),
    Fault(
        name="the broker accepts, and says nothing, from the start",
        setup=_plain(strike=Proxy.swallow),
        reason="silent",
        message=SILENT,
        mend=_forward,
        seconds=15,
    ),
    Fault(
        name="the broker hangs up on every attempt, for a while",
        setup=_plain(),
        strike=_treat(lambda proxy: proxy.babble(0, 0)),
        reason="hung_up",
        message=HUNG_UP,
        meanwhile=_watch_attempts,
        mend=_forward,
        seconds=50,
    ),
    Fault(
        name="the broker has room for 10 messages; 30 are published",
        setup=_plain(extra=["max_queued_messages 10", "sys_interval 1"]),
        strike=_refuse,
        reason="unreachable",
        message=REFUSED,
        meanwhile=lambda lab: lab.publish(30),
        mend=_allow,
        fate=Fate.DROPPED,
        seconds=10,
    ),
    Fault(
        name="the broker says for a while that it is unavailable",
        setup=_plain(),
        strike=_treat(lambda proxy: proxy.babble(0, 0, UNAVAILABLE_5)),
        reason="refused",
        message="it refused the connection: Server unavailable",
        meanwhile=_publish_some,
        mend=_forward,
    ),
    Fault(
        name="the outage is longer than --mqtt.session-expiry",
        setup=_plain("--mqtt.session-expiry=1s"),
        strike=_refuse,
        reason="unreachable",
        message=REFUSED,
        meanwhile=_wait_expired,
        mend=_allow,
        fate=Fate.FORGOTTEN,
        seconds=10,
    ),
    # Who we are.
    Fault(
        name="the password in the file is wrong; it is replaced",
        setup=_wrong_password_file,
        reason="credentials",
        message="it refused the connection: Not authorized",
        mend=_right_password_file,
    ),
    Fault(
        name="the password in the URL is wrong; the broker's is changed",
        setup=_wrong_password_in_url,
        reason="credentials",
        message="it refused the connection: Not authorized",
        mend=_right_password_at_broker,
    ),
    Fault(
        name="the broker throws the exporter out (`closed`), and locks its user for a while",
        setup=_forbidding(),
        strike=_lock_out,
        reason="credentials",
        message="it refused the connection: Not authorized",
        meanwhile=_publish_to_locked_out,
        mend=_let_in,
    ),
    Fault(
        name="test results are forbidden from the start",
        setup=_forbidding("/mpt/notifications"),
        reason="subscription",
        message="it refused the subscription to /mpt/notifications",
        mend=_allow_subscription,
    ),
    Fault(
        name="test results are forbidden later",
        setup=_forbidding(),
        strike=_reject_subscription,
        reason="subscription",
        message="it refused the subscription to /mpt/notifications",
        meanwhile=_publish_some,
        mend=_allow_subscription,
    ),
    Fault(
        name="only what the broker says of itself is forbidden",
        setup=_forbidding("$SYS/broker/publish/messages/dropped"),
        meanwhile=_live_without_drops,
    ),
    Fault(
        name="two exporters have the same --mqtt.client-id",
        setup=_plain(OWN_ID),
        strike=_fight,
        reason="lost",
        message="another client with the same --mqtt.client-id has connected",
        meanwhile=_watch_fight,
        mend=_end_fight,
        seconds=25,
    ),
    Fault(
        name="two exporters have ids of their own, as is the default",
        setup=_plain(),
        strike=_live_side_by_side,
        seconds=12,
    ),
    # TLS.
    Fault(
        name="mqtt:// at a port that speaks TLS",
        setup=_plain_client_at_tls_port,
        reason="hung_up",
        message=HUNG_UP,
        mend=_make_port_plain,
    ),
    Fault(
        name="mqtts:// at a port that does not",
        setup=_tls_client_at_plain_port,
        reason="tls",
        message="it hung up in the TLS handshake",
        mend=_make_port_tls,
    ),
    Fault(
        name="the broker's certificate is of an unknown CA; --mqtt.ca-file is replaced",
        setup=_tls(ca="foreign_ca"),
        reason="tls",
        message="its certificate is not accepted: unable to get local issuer certificate",
        mend=_trust_server,
    ),
    Fault(
        name="the broker's certificate has expired; it is renewed",
        setup=_tls(server="expired"),
        reason="tls",
        message="its certificate is not accepted: certificate has expired",
        mend=_renew_server,
    ),
    Fault(
        name="the broker's certificate is for another name; it is replaced",
        setup=_tls(server="other_name"),
        reason="tls",
        message="its certificate is not accepted: Hostname mismatch",
        mend=_renew_server,
    ),
    Fault(
        name="the broker wants a certificate, and gets none; it is given",
        setup=_tls(demanding=True),
        reason="tls",
        message="it refused us after the TLS handshake",
        mend=_give_certificate,
    ),
    Fault(
        name="the exporter's certificate has expired; it is replaced",
        setup=_tls(client="expired_client"),
        reason="tls",
        message="it refused us after the TLS handshake",
        mend=lambda lab: _copy(lab, "client", "client"),
    ),
    Fault(
        name="the network resets a connection with TLS and a client's certificate",
        setup=_tls(client="client"),
        strike=_cut,
        reason="lost",
        message=LOST,
        meanwhile=_publish_some,
        mend=_resume,
    ),
    Fault(
        name="the network resets a connection with --mqtt.insecure",
        setup=_tls("--mqtt.insecure", server="self_signed", ca=""),
        strike=_cut,
        reason="lost",
        message=LOST,
        meanwhile=_publish_some,
        mend=_resume,
    ),
    # Bytes.
    *(
        Fault(
            name=f"connections end after {length} B of the broker's, {where}",
            setup=_plain(),
            strike=_treat(partial(Proxy.cut_after, length=length)),
            reason=reason,
            message=message,
            times=times,
            meanwhile=_publish_some,
            mend=lambda lab: lab.proxy.cut_after(None),
        )
        for length, where, reason, message, times in (
            (0, "before its answer", "hung_up", HUNG_UP, 1),
            (1, "in its answer", "hung_up", HUNG_UP, 1),
            (8, "in its answer", "hung_up", HUNG_UP, 1),
            (14, "in its answer to the subscription", "lost", LOST, 2),
        )
    ),
    Fault(
        name="connections end after 300 B of the broker's, in a message",
        setup=_plain(),
        strike=_end_in_message,
        reason="lost",
        message=LOST,
        times=3,
        mend=lambda lab: lab.proxy.cut_after(None),
        seconds=12,
    ),
    Fault(
        name="bits flip in what the broker says",
        setup=_plain(),
        strike=_flip,
        reason=ALL_REASONS,
        times=3,
        mend=_treat(partial(Proxy.corrupt, probability=0.0, seed=0)),
        fate=Fate.UNKNOWN,
        seconds=25,
    ),
    Fault(
        name="garbage instead of an answer",
        setup=_plain(),
        strike=_treat(partial(Proxy.babble, length=200, seed=1)),
        reason=ALL_REASONS,
        times=3,
        meanwhile=_publish_some,
        mend=_forward,
        seconds=10,
    ),
    Fault(
        name="garbage after an answer",
        setup=_plain(),
        strike=_treat(partial(Proxy.babble, length=200, seed=1, first=CONNACK_5)),
        reason=ALL_REASONS,
        times=3,
        meanwhile=_publish_some,
        mend=_forward,
        seconds=10,
    ),
    # Brokers of MQTT 3.1.1.
    Fault(
        name="a broker of MQTT 3.1.1 refuses version 5",
        setup=_plain(strike=Proxy.only_mqtt_311),
        meanwhile=_speaks_311,
    ),
    Fault(
        name="a broker of MQTT 3.1.1 hangs up on version 5",
        setup=_plain(strike=partial(Proxy.only_mqtt_311, answer=b"")),
        reason="hung_up",
        message=HUNG_UP,
        meanwhile=_speaks_311,
        seconds=10,
    ),
    Fault(
        name="MQTT 3.1.1: connections are refused, with --mqtt.client-id",
        setup=_plain(OWN_ID, strike=partial(Proxy.only_mqtt_311, answer=REFUSED_VERSION)),
        strike=_refuse,
        reason="unreachable",
        message=REFUSED,
        meanwhile=_publish_some,
        mend=_allow,
        seconds=12,
    ),
    Fault(
        name="MQTT 3.1.1: connections are refused, without",
        setup=_plain(strike=partial(Proxy.only_mqtt_311, answer=REFUSED_VERSION)),
        strike=_refuse,
        reason="unreachable",
        message=REFUSED,
        meanwhile=_publish_some,
        mend=_allow,
        fate=Fate.FORGOTTEN,
        seconds=12,
    ),
    # As many as a broker keeps by default.
    Fault(
        name="1,000 results during an outage",
        setup=_plain(launcher="twistd"),
        strike=_refuse,
        reason="unreachable",
        message=REFUSED,
        meanwhile=_publish_many,
        mend=_allow,
        seconds=6,
    ),
    Fault(
        name="1,000 results, in whose delivery connections end three times",
        setup=_plain(),
        strike=_refuse,
        reason="unreachable",
        message=REFUSED,
        meanwhile=_cut_in_delivery,
        mend=_allow,
        seconds=25,
    ),
    # The exporter.
    Fault(
        name="the exporter restarts, with --mqtt.client-id",
        setup=_alone(OWN_ID),
        strike=_stop_exporter,
        meanwhile=_publish_some,
        mend=_start_exporter,
    ),
    Fault(
        name="the exporter is killed and restarted, with --mqtt.client-id",
        setup=_alone(OWN_ID),
        strike=_kill_exporter,
        meanwhile=_publish_some,
        mend=_start_exporter,
    ),
    Fault(
        name="the exporter restarts while the broker hangs up on it, with --mqtt.client-id",
        setup=_plain(OWN_ID),
        strike=_restart_before_hangups,
        reason="hung_up",
        message=HUNG_UP,
        meanwhile=_publish_some,
        mend=_forward,
        seconds=10,
    ),
)
