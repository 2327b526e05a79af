"""What intake is compared with: a bare paho loop, whose callback only counts.

`python -m bench.bare_paho PORT` subscribes as the exporter does and takes orders as
`bench.probed_exporter` does: `{"count": N}`, how fast N messages come in.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from bench.probed_exporter import PERIOD
from maestro_exporter.notes import Topic

_seen = 0


def _count(_client: Client, _userdata: object, _message: object) -> None:
    global _seen  # noqa: PLW0603 - the least that a callback can do
    _seen += 1


def _take_orders(client: Client) -> None:
    for line in sys.stdin:
        base, wanted = _seen, json.loads(line)["count"]
        _say({})
        start = time.monotonic()
        while (count := _seen - base) < wanted:
            if not count:
                start = time.monotonic()
            time.sleep(PERIOD)
        _say({"rate": count / (time.monotonic() - start), "count": count})
    client.disconnect()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Count."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = _count
    client.on_subscribe = lambda *_: _say({})
    client.on_connect = lambda client, *_: client.subscribe(
        [(Topic.RESPONSES, 1), (Topic.NOTIFICATIONS, 2)]
    )
    client.connect("127.0.0.1", int(sys.argv[1]))
    threading.Thread(target=_take_orders, args=(client,), daemon=True).start()
    client.loop_forever()


if __name__ == "__main__":
    main()
