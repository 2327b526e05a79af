"""Tells twistd of `maestro-exporter`; names the code as a string, so as not to import it."""

from twisted.application.service import ServiceMaker

maestro_exporter = ServiceMaker(
    "maestro-exporter",
    "maestro_exporter.tap",
    "Publishes the state of a Maestro test cluster to Prometheus.",
    "maestro-exporter",
)
