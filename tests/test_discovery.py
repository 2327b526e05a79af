"""Where Prometheus finds the peers' hosts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.discovery import NODE_EXPORTER_PORT, PARAMETERS, targets
from maestro_exporter.querying import QueryError, answers
from maestro_exporter.snapshot import Series, Snapshot
from tests.cluster_case import process, shown

EMPTY = Cluster(expiry=1, forget=1, max_peers=1).snapshot()


def peer(host: str, type_: str = "sender", *, up: bool = True, name: str = "worker") -> Series:
    """Give a series of one process."""
    return shown(process("a", 0, peer=f"{name}@{host}", type=type_, name=name, host=host), up=up)


def cluster(*series: Series) -> Snapshot:
    return replace(EMPTY, series=series)


def groups(*series: Series, port: int = 9100) -> Any:
    """Give what Prometheus reads."""
    return json.loads(targets(cluster(*series), port))


def hosts(*names: str) -> list[str]:
    """Give the targets, without their port, of peers at such hosts."""
    return [
        target.removesuffix(":9100")
        for group in groups(*[peer(each) for each in names])
        for target in group["targets"]
    ]


class TargetsTests(SynchronousTestCase):
    def test_document(self) -> None:
        """Each peer has a target with its name and type, on a line of its own."""
        self.assertEqual(
            b"[\n"
            b'  {"targets": ["node-1:9100"], "labels": {"__meta_maestro_peer": "worker@node-1", '
            b'"__meta_maestro_type": "sender"}},\n'
            b'  {"targets": ["node-2.example.com:9100"], "labels": {"__meta_maestro_peer": '
            b'"worker@node-2.example.com", "__meta_maestro_type": "agent"}}\n'
            b"]\n",
            targets(cluster(peer("node-1"), peer("node-2.example.com", "agent")), 9100),
        )

    def test_empty(self) -> None:
        """Where there is nobody, or nobody with a host, the list is empty."""
        self.assertEqual(b"[]\n", targets(EMPTY, 9100))
        self.assertEqual(b"[]\n", targets(cluster(peer("")), 9100))

    def test_port(self) -> None:
        """The port is the one that was asked for."""
        (group,) = groups(peer("node"), port=80)

        self.assertEqual(["node:80"], group["targets"])

    def test_order(self) -> None:
        """Targets go by name and type, not by who appeared first: so they seldom change."""
        found = groups(peer("b"), peer("a", "sender"), peer("a", "receiver"))

        self.assertEqual(
            [("worker@a", "receiver"), ("worker@a", "sender"), ("worker@b", "sender")],
            [tuple(each["labels"].values()) for each in found],
        )

    def test_dead(self) -> None:
        """A peer that has fallen silent is no target any more."""
        (group,) = groups(peer("a", up=False), peer("b"))

        self.assertEqual(["b:9100"], group["targets"])

    def test_shared_name(self) -> None:
        """Processes that share a name share a host, and so have one target."""
        both = [process(each, 0, peer="worker@node", host="node") for each in "ab"]

        self.assertEqual(1, len(groups(shown(*both))))


class HostTests(SynchronousTestCase):
    """What can be a host."""

    def test_names(self) -> None:
        """Names and IPv4 addresses are taken as they are; underscores are in use."""
        for host in (
            "node",
            "Node-1",
            "a.example.com",
            "a.example.com.",
            "_a",
            "my_node",
            "10.0.0.1",
        ):
            self.assertEqual([host], hosts(host))

    def test_ipv6(self) -> None:
        """IPv6 addresses are put in brackets."""
        for host in ("::1", "2001:db8::A", "::ffff:10.0.0.1"):
            self.assertEqual([f"[{host}]"], hosts(host))

    def test_zone(self) -> None:
        """An IPv6 address with a zone is left out: only the peer knows that, and it is any text."""
        self.assertEqual([], hosts("fe80::1%eth0", "::1%]:80/", "::1%\udc80", "::1%\n"))

    def test_no_hosts(self) -> None:
        """What cannot be a host is left out, and nothing else with it."""
        for host in (
            "",
            "-a",
            "a-",
            ".a",
            "a b",
            "a/b",
            "a:9200",
            "a?b",
            "me@a",
            "[::1]",
            "::g",
            "http://a",
            "a\n",
            "\na",
            "a\0",
            "{{a}}",
            "größe",
            "a\udc80",
            "a" * 254,
        ):
            self.assertEqual(["before", "zz"], hosts("before", host, "zz"), ascii(host))

    def test_longest(self) -> None:
        """A name has at most 253 characters."""
        self.assertEqual(["a" * 253], hosts("a" * 253))

    def test_hostile_names(self) -> None:
        """No name breaks the document or leaves ASCII; only lone surrogates are replaced."""
        for name, seen in (
            ('"}}]\n[', '"}}]\n['),
            ("\0\x1b[31m\x9b\u202e", "\0\x1b[31m\x9b\u202e"),
            ("Größe 🎻", "Größe 🎻"),
            ("a\ud83cb", "a?b"),
        ):
            page = targets(cluster(peer("node", name=name)), 9100)

            self.assertTrue(page.isascii())
            self.assertEqual(3, page.count(b"\n"))
            self.assertEqual(f"{seen}@node", json.loads(page)[0]["labels"]["__meta_maestro_peer"])

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.text(st.characters()))
    def test_any_host(self, host: str) -> None:
        """Whatever a peer calls its host, the document is one that Prometheus reads."""
        page = targets(cluster(peer(host)), 9100)

        for group in json.loads(page):
            (target,) = group["targets"]
            self.assertRegex(target, r"\A([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):9100\Z")


class ParametersTests(SynchronousTestCase):
    def test_port(self) -> None:
        """The port may be asked for; unasked, it is the one of node_exporter."""
        self.assertEqual({"port": NODE_EXPORTER_PORT}, answers({}, PARAMETERS))
        self.assertEqual({"port": 65535}, answers({"port": ["65535"]}, PARAMETERS))
        for text in ("0", "65536", "http"):
            self.assertRaises(QueryError, answers, {"port": [text]}, PARAMETERS)
