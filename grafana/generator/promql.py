"""Selectors of PromQL, spelled alike everywhere."""

from __future__ import annotations

#: What each query of a board asks for: the exporters that are chosen at its top.
EXPORTER = ('job=~"$job"', 'instance=~"$instance"')
OF_TYPE = 'type=~"$type"'
#: The same, and of them the peers that are chosen.
PEER = (*EXPORTER, OF_TYPE, 'peer=~"$peer"')

#: What takes part in tests, and what of that exchanges messages.
TEST_PEERS = 'type=~"sender|receiver|inspector|agent"'
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
