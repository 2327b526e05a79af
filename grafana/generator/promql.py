"""Selectors of PromQL, spelled alike everywhere."""

from __future__ import annotations

from collections.abc import Callable

#: Gives a selector for a metric name and further matchers.
Selecting = Callable[..., str]

#: What is `sent` and `received` in the current or last test.
MESSAGES = "maestro_test_messages"

#: What each query of a board asks for: the exporters that are chosen at its top.
EXPORTER = ('job=~"$job"', 'instance=~"$instance"')
RATE_INTERVAL = "$__rate_interval"
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


# ------------------------------------- what boards and rules must be careful of alike
#
# These give several lines, as the rules show them; a board's query is one line in the end.


def connected(of: Selecting) -> str:
    """Leave out exporters without their broker: they say nothing true of the peers."""
    return f"and on (job, instance) {of('maestro_up')} == 1"


def missing_peers(of: Selecting) -> str:
    """Give the peers that did answer and do no more.

    A 1.5 worker that was started anew has no role yet, and so another type; it is not missing.
    """
    return f"""{of("maestro_peer_up")} == 0
unless on (job, instance, peer) {of("maestro_peer_up", 'type="other"')} == 1
{connected(of)}"""


def message_rate(of: Selecting, window: str, *matchers: str) -> str:
    """Give the messages per second of the current test, by direction.

    An exporter that starts in the middle of a test does not know what peers exchanged that have
    gone. To rate() that is a counter that began anew, and so a peak: better none for a while.
    """
    return f"""rate({of(MESSAGES, *matchers)}[{window}])
unless on (job, instance)
  changes({of("process_start_time_seconds")}[{window}]) > 0"""
