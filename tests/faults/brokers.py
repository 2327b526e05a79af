"""Brokers that forbid, say nothing, or talk nonsense."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from paho.mqtt import publish

from tests.faults.proxy import Proxy
from tests.servers import Mosquitto

USER, PASSWORD = "exporter", "password of the exporter"

_PLUGINS = "*/mosquitto_dynamic_security.so"
_ADMIN, _ADMIN_PASSWORD = "admin", "password of the admin"
_CONTROL = "$CONTROL/dynamic-security/v1"


class ForbiddingMosquitto(Mosquitto):
    """A broker whose SUBACK says which subscriptions it forbids to the user `USER`.

    An acl_file cannot do that: there, mosquitto 2.0 grants each subscription and then delivers
    nothing.  MQTT 5 and 3.1.1 have a failure in the SUBACK, 3.1 has none.

    Clients without a user name may do everything.

    Args:
        forbidden: the topics that are forbidden from the start.
    """

    def __init__(self, *forbidden: str) -> None:
        plugin = next(Path("/usr/lib").glob(_PLUGINS))
        settings = "dynamic-security.json"
        super().__init__(extra=[f"plugin {plugin}", f"plugin_opt_config_file {settings}"])
        path = self.folder / settings
        subprocess.run(
            ["mosquitto_ctrl", "dynsec", "init", str(path), _ADMIN, _ADMIN_PASSWORD],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=10,
        )
        content = json.loads(path.read_text())
        content["defaultACLAccess"] = dict.fromkeys(content["defaultACLAccess"], True)
        content["roles"].append({"rolename": USER, "acls": _denials(forbidden)})
        path.write_text(json.dumps(content))

    def start(self) -> None:
        super().start()
        role = {"rolename": USER}
        self._command(command="createClient", username=USER, password=PASSWORD, roles=[role])

    def forbid(self, *topics: str) -> None:
        """Forbid to subscribe to exactly these, and allow all else; connections stay as they are.

        So do subscriptions: who has one already keeps it.
        """
        self._command(command="modifyRole", rolename=USER, acls=_denials(topics))

    def allow(self) -> None:
        """Allow all; who has been forbidden something has to ask again."""
        self.forbid()

    def _command(self, **command: object) -> None:
        # The broker does it before it acknowledges the message.
        publish.single(
            _CONTROL,
            json.dumps({"commands": [command]}),
            qos=1,
            hostname="127.0.0.1",
            port=self.port,
            auth={"username": _ADMIN, "password": _ADMIN_PASSWORD},
        )


def _denials(topics: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"acltype": "subscribeLiteral", "topic": each, "allow": False} for each in topics]


def silent_server() -> Proxy:
    """Give a server that accepts connections and says nothing, whatever it is told."""
    proxy = Proxy()
    proxy.swallow()
    return proxy


def garbage_server(length: int, seed: int, first: bytes = b"") -> Proxy:
    """Give a server that answers the first bytes of each connection with random ones, and hangs up.

    Args:
        length: how many bytes.
        seed: of the first connection; each has others.
        first: comes before them, such as a CONNACK.
    """
    proxy = Proxy()
    proxy.babble(length, seed, first)
    return proxy
