"""Peers and what they answer: realistic values, the same in each run."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import NAMESPACE_DNS, uuid5

from maestro_exporter.cluster import Cluster
from maestro_exporter.deliveries import Delivery
from maestro_exporter.notes import (
    Generation,
    PingResponse,
    Role,
    Sender,
    StatsResponse,
    Topic,
    encode,
)
from maestro_exporter.snapshot import Moment
from tests.samples import stats_response

#: What stands in a payload where the ids of the request belong; as long as they are.
CORRELATION, MESSAGE = "c" * 36, "m" * 36
#: What stands for the number of messages; packed as five bytes, as all from 65536 on.
COUNT = 0xC0FFEE01
COUNT_BYTES = b"\xce" + COUNT.to_bytes(4, "big")
#: The wall clock when the monotonic one shows 0.
EPOCH = 1_700_000_000.0


def senders(count: int) -> list[Sender]:
    """Give so many peers of 1.5: senders and receivers by turns, each on a host of its own."""
    return [
        Sender(
            id=f"maestro.exchange.{uuid5(NAMESPACE_DNS, host)}",
            name="worker",
            host=host,
            role=Role.RECEIVER if number % 2 else Role.SENDER,
            member=f"worker-{number:05}",
            group="all",
        )
        for number in range(count)
        for host in [f"worker-{number:05}.lab.example.com"]
    ]


def stats(sender: Sender, number: int, count: int, correlation_id: str) -> StatsResponse:
    """Give the STATS reply of a peer at work: a rate of up to 17 digits, receivers a latency."""
    return stats_response(
        sender,
        correlation_id=correlation_id,
        message_id=MESSAGE,
        child_count=1 + number % 32,
        count=count,
        rate=1e6 / (7.3 + number),
        latency=1234.5678 + number / 7 if sender.role is Role.RECEIVER else 0.0,
    )


def ping(sender: Sender, number: int, correlation_id: str) -> PingResponse:
    """Give the PING reply of a peer: some milliseconds."""
    return PingResponse(
        generation=Generation.V1_5,
        sender=sender,
        correlation_id=correlation_id,
        message_id=MESSAGE,
        elapsed=1 + number % 20,
    )


def at(seconds: float) -> Moment:
    """Give the moment at which the monotonic clock shows so many seconds."""
    return Moment(seconds, EPOCH + seconds)


def filled_cluster(count: int, rounds: int = 3) -> Cluster:
    """Give a cluster of so many peers, all of which have answered some rounds."""
    cluster = Cluster(expiry=3600.0, forget=7200.0, max_peers=count)
    peers = senders(count)
    for round_ in range(1, rounds + 1):
        begun, correlation_id = 10.0 * round_, f"round-{round_}"
        cluster.begin_round(correlation_id, Generation.V1_5, at(begun))
        for number, sender in enumerate(peers):
            messages = round_ * 1_000_003 + 977 * number
            moment = at(begun + 0.0004 + 4.0 * number / count)
            cluster.apply(stats(sender, number, messages, correlation_id), moment)
            cluster.apply(ping(sender, number, correlation_id), moment)
    return cluster


def payloads(count: int) -> list[bytes]:
    """Give the STATS and the PING payload of each peer, with what stands for ids and count."""
    return [
        encode(note)
        for number, sender in enumerate(senders(count))
        for note in (stats(sender, number, COUNT, CORRELATION), ping(sender, number, CORRELATION))
    ]


class Answers:
    """The answers of peers to one round after the other, as the network thread hands them over.

    Args:
        count: of the peers.
        length: deliveries in a batch.
    """

    def __init__(self, count: int, length: int) -> None:
        self._payloads = payloads(count)
        self._length = length
        self._round = 0

    def batches(self, correlation_id: str, begun: float) -> Iterator[list[Delivery]]:
        """Give the batches of a round that was begun at that monotonic second."""
        self._round += 1
        wanted = correlation_id.encode().ljust(len(CORRELATION), b" ")
        count = b"\xce" + (1_000_003 * self._round).to_bytes(4, "big")
        step = 0.5 / len(self._payloads)
        batch: list[Delivery] = []
        for index, payload in enumerate(self._payloads):
            patched = payload.replace(CORRELATION.encode(), wanted).replace(COUNT_BYTES, count)
            arrived = begun + 0.0004 + index * step
            batch.append(Delivery(Topic.RESPONSES, patched, False, arrived))
            if len(batch) == self._length:
                yield batch
                batch = []
        if batch:
            yield batch
