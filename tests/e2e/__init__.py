"""End-to-end tests: the installed exporter between a real broker and a real Prometheus."""
