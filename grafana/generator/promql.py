"""Selectors of PromQL, spelled alike everywhere."""

from __future__ import annotations

#: What each query of a board asks for: the exporters that are chosen at its top.
EXPORTER = ('job=~"$job"', 'instance=~"$instance"')
OF_TYPE = 'type=~"$type"'
#: The same, and of them the peers that are chosen.
PEER = (*EXPORTER, OF_TYPE, 'peer=~"$peer"')

#: What takes part in tests; a 1.5 worker that has been given no role is `other`.
TEST_PEERS = 'type=~"sender|receiver|inspector|agent|other"'
#: What of that exchanges messages.
WORKERS = 'type=~"sender|receiver"'
SENT = 'direction="sent"'
RECEIVED = 'direction="received"'


def select(name: str, *matchers: str) -> str:
    """Give a selector: `name{matcher, matcher}`."""
    return f"{name}{{{', '.join(matchers)}}}"


def of_exporter(name: str, *matchers: str) -> str:
    """Give a selector for a board."""
    return select(name, *EXPORTER, *matchers)


def of_peer(name: str, *matchers: str) -> str:
    """Give a selector for a board, for the peers that are chosen."""
    return select(name, *PEER, *matchers)


#: An exporter without its broker says nothing true of the peers.
CONNECTED = f"and on (job, instance) {of_exporter('maestro_up')} == 1"


def missing_peers() -> str:
    """Give the peers that did answer and do no more, for a board.

    A 1.5 worker that was started anew has no role yet, and so another type; it is not missing.
    """
    up = of_exporter("maestro_peer_up")
    without_role = of_exporter("maestro_peer_up", 'type="other"')
    return f"{up} == 0 unless on (job, instance, peer) {without_role} == 1 {CONNECTED}"


def message_rate(*matchers: str) -> str:
    """Give the messages per second of the current test, by direction, for a board.

    An exporter that starts in the middle of a test does not know what peers exchanged that have
    gone. To rate() that is a counter that began anew, and so a peak: better none for a while.
    """
    rate = f"rate({of_exporter('maestro_test_messages', *matchers)}[$__rate_interval])"
    starts = f"changes({of_exporter('process_start_time_seconds')}[$__rate_interval])"
    return f"{rate} unless on (job, instance) {starts} > 0"
