"""All that can be set: the one list of options.

The parser of the command line, the environment, the configuration file, the
help and the errors all come from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from maestro_exporter import values

LOG_LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("text", "json")


class Option(NamedTuple):
    """One thing that can be set.

    Attributes:
        name: the long option, without dashes.
        short: its letter, or empty.
        variable: its name in the environment and in the file.
        default: the text it has when not given; empty where it follows from another option.
        parse: text to value; raises ValueError saying what is allowed.
        help: what it is, its unit, its default.
        repeatable: it may be given several times; in a variable, values are parted by spaces.
        flag: on the command line it has no value; in a variable, that is true or false.
        secret: it can only be given by its variable, since everybody can see command
            lines; it is taken as it is, and not shown in errors.
    """

    name: str
    short: str
    variable: str
    default: str
    parse: Callable[[str], Any]
    help: str
    repeatable: bool = False
    flag: bool = False
    secret: bool = False


URL = "maestro-url"
USERNAME = "mqtt.username"
PASSWORD = "mqtt.password"  # noqa: S105  an option
PASSWORD_FILE = "mqtt.password-file"  # noqa: S105  an option
CA_FILE = "mqtt.ca-file"
CERT_FILE = "mqtt.cert-file"
KEY_FILE = "mqtt.key-file"
INSECURE = "mqtt.insecure"
VERSION = "mqtt.version"
CLIENT_ID = "mqtt.client-id"
SESSION_EXPIRY = "mqtt.session-expiry"
PORT = "port"
LISTEN = "web.listen-address"
SYSTEMD = "web.systemd-socket"
CONFIG = "config"

OPTIONS: tuple[Option, ...] = (
    Option(
        URL,
        "m",
        "MAESTRO_BROKER",
        "mqtt://localhost:1883",
        values.broker,
        "The Maestro broker, mqtt://[user[:password]@]host[:port], or mqtts:// for TLS.  "
        "[default: mqtt://localhost:1883]",
    ),
    Option(
        USERNAME,
        "",
        "MAESTRO_MQTT_USERNAME",
        "",
        values.mqtt_text,
        "User name at the broker; one in a URL that is given as near counts first.",
    ),
    Option(
        PASSWORD,
        "",
        "MAESTRO_MQTT_PASSWORD",
        "",
        values.mqtt_text,
        "Password at the broker; one in a URL that is given as near counts first.",
        secret=True,
    ),
    Option(
        PASSWORD_FILE,
        "",
        "MAESTRO_MQTT_PASSWORD_FILE",
        "",
        values.file,
        "File with the password at the broker, on one line; read again at each connection.",
    ),
    Option(
        CA_FILE,
        "",
        "MAESTRO_MQTT_CA_FILE",
        "",
        values.file,
        "File with the certificates, in PEM, one of which must have signed the broker's, "
        "instead of those of the system; read again at each connection.",
    ),
    Option(
        CERT_FILE,
        "",
        "MAESTRO_MQTT_CERT_FILE",
        "",
        values.file,
        "File with the certificate, in PEM, that is shown to the broker; may hold its key too; "
        "read again at each connection.",
    ),
    Option(
        KEY_FILE,
        "",
        "MAESTRO_MQTT_KEY_FILE",
        "",
        values.file,
        "File with the key of that certificate, in PEM, without a passphrase; read again at each "
        "connection.",
    ),
    Option(
        INSECURE,
        "",
        "MAESTRO_MQTT_INSECURE",
        "false",
        values.boolean,
        "Do not check the broker's certificate and name; for the lab only.",
        flag=True,
    ),
    Option(
        VERSION,
        "",
        "MAESTRO_MQTT_VERSION",
        "auto",
        values.one_of(("auto", "5", "3.1.1")),
        "Version of MQTT to speak: auto (5, or 3.1.1 where the broker does not know 5), 5, 3.1.1.  "
        "[default: auto]",
    ),
    Option(
        CLIENT_ID,
        "",
        "MAESTRO_MQTT_CLIENT_ID",
        "",
        values.client_id,
        "Name of this client at the broker, 1 to 200 characters, which no other client may have; "
        "with it, what the broker keeps for the exporter outlives a restart of the exporter.  "
        "[default: a random one at each start]",
    ),
    Option(
        SESSION_EXPIRY,
        "",
        "MAESTRO_MQTT_SESSION_EXPIRY",
        "1h",
        values.duration("1s", "168h"),
        "Time for which the broker keeps what it cannot deliver while the exporter is away, "
        "1s to 168h, by MQTT 5; the broker may have a limit of its own.  [default: 1h]",
    ),
    Option(
        PORT,
        "p",
        "MAESTRO_EXPORTER_PORT",
        "9120",
        values.port,
        "TCP port of the pages, on every IPv4 interface; 0 takes a free one.  [default: 9120]",
    ),
    Option(
        LISTEN,
        "",
        "MAESTRO_EXPORTER_LISTEN_ADDRESS",
        "",
        values.listen_address,
        "Where to serve the pages instead: host:port, [IPv6 address]:port or :port; "
        "may be given several times.",
        repeatable=True,
    ),
    Option(
        SYSTEMD,
        "",
        "MAESTRO_EXPORTER_SYSTEMD_SOCKET",
        "false",
        values.boolean,
        "Do not start without sockets that systemd hands over; where it does hand over some, the "
        "pages are served on them instead, whether or not this is given.",
        flag=True,
    ),
    Option(
        "web.config.file",
        "",
        "MAESTRO_EXPORTER_WEB_CONFIG",
        "",
        values.file,
        "File with TLS, users and headers, in the format of Prometheus' exporter-toolkit; "
        "read again when it changes.",
    ),
    Option(
        "web.max-requests",
        "",
        "MAESTRO_EXPORTER_MAX_REQUESTS",
        "40",
        values.integer(1, 1000),
        "Most pages to be on their way at a time, 1 to 1000; more requests are answered with 503.  "
        "[default: 40]",
    ),
    Option(
        "web.access-log",
        "",
        "MAESTRO_EXPORTER_ACCESS_LOG",
        "false",
        values.boolean,
        "Log each request.",
        flag=True,
    ),
    Option(
        "web.telemetry-path",
        "",
        "MAESTRO_EXPORTER_TELEMETRY_PATH",
        "/metrics",
        values.path,
        "Path of the metrics.  [default: /metrics]",
    ),
    Option(
        "interval",
        "",
        "MAESTRO_EXPORTER_INTERVAL",
        "10s",
        values.duration("100ms", "1h"),
        "Time between two rounds of requests to the peers, in seconds or with a unit "
        "(500ms, 10s, 1m), 100ms to 1h.  [default: 10s]",
    ),
    Option(
        "peer-expiry",
        "",
        "MAESTRO_EXPORTER_PEER_EXPIRY",
        "",
        values.duration("100ms", "24h"),
        "Time without a reply after which a peer is down and its gauges vanish, "
        "one interval to 24h.  [default: 3 intervals]",
    ),
    Option(
        "peer-forget",
        "",
        "MAESTRO_EXPORTER_PEER_FORGET",
        "",
        values.duration("100ms", "8760h"),
        "Time without a reply after which maestro_peer_up 0 vanishes too, up to 8760h.  "
        "[default: 15m, or 2 expiries where that is more]",
    ),
    Option(
        "max-peers",
        "",
        "MAESTRO_EXPORTER_MAX_PEERS",
        "10000",
        values.integer(1, 1_000_000),
        "Most peers to know at a time, 1 to 1000000; more are counted, not shown.  "
        "[default: 10000]",
    ),
    Option(
        CONFIG,
        "",
        "MAESTRO_EXPORTER_CONFIG",
        "",
        values.file,
        'File with settings: lines of VARIABLE="value", as in maestro-exporter-service.conf.',
    ),
    Option(
        "log.level",
        "",
        "MAESTRO_EXPORTER_LOG_LEVEL",
        "info",
        values.one_of(LOG_LEVELS),
        "Least level to log: debug, info, warn, error.  [default: info]",
    ),
    Option(
        "log.format",
        "",
        "MAESTRO_EXPORTER_LOG_FORMAT",
        "text",
        values.one_of(LOG_FORMATS),
        "Form of the log lines: text, json.  [default: text]",
    ),
)

BY_VARIABLE = {option.variable: option for option in OPTIONS}
