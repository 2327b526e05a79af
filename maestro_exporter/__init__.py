"""maestro-exporter: the state of a Maestro test cluster as Prometheus metrics.

Read the modules from the bottom up: `notes` (the wire), `settings`, `cluster`
(what is known), `metrics` and `exposition` (the page), `bridge` (MQTT),
`ingest`, `poller`, `web`, then `service`, which joins them, and the ways in:
`tap` (twistd), `main` (the command) and `demo`.
"""

__version__ = "0.1.0"
