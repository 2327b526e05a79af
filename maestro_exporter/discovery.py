"""Where the peers are, for Prometheus' HTTP service discovery.

Format: https://prometheus.io/docs/prometheus/latest/http_sd/
"""

from __future__ import annotations

import ipaddress
import re

from maestro_exporter import values
from maestro_exporter.documents import layout, text
from maestro_exporter.querying import Parameter
from maestro_exporter.snapshot import Snapshot
from maestro_exporter.values import Address

#: Where node_exporter listens.
NODE_EXPORTER_PORT = 9100
PARAMETERS = (Parameter("port", values.integer(1, 65535), NODE_EXPORTER_PORT),)

_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def targets(snapshot: Snapshot, port: int) -> bytes:
    """Give a target for each live peer whose host is known, in the order of their names.

    The labels are `__meta_maestro_peer` and `__meta_maestro_type`, those of the metrics.  What a
    peer calls its host is left out unless it can be one: Prometheus would refuse it.

    Args:
        snapshot: what is known.
        port: of the targets, at each host.
    """
    # The processes of a series share their host.
    live = [each for each in snapshot.series if each.up]
    live.sort(key=lambda each: (each.peer, each.type))
    groups = [
        {
            "targets": [str(Address(each.processes[-1].host, port))],
            "labels": {"__meta_maestro_peer": text(each.peer), "__meta_maestro_type": each.type},
        }
        for each in live
        if _is_host(each.processes[-1].host)
    ]
    return f"{layout(groups)}\n".encode()


def _is_host(text: str) -> bool:
    if _NAME.fullmatch(text):
        return True
    try:
        # A zone is one of the peer's own, and may be any text.
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False
