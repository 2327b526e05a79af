"""maestro-exporter: the state of a Maestro test cluster as Prometheus metrics.

Read the modules from the bottom up: `values`, `notes` (the wire), `settings`,
`snapshot` and `cluster` (what is known), `metrics` and `exposition` (the page),
`deliveries` and `bridge` (MQTT), `ingest`, `poller`, `web`, then `service`, which
joins them, and the ways in: `tap` (twistd, with `logs`), `main` (the command, with
`foreground` and `arguments`) and `demo`, which shows it with a `simulator`.
"""

__version__ = "0.1.0"
