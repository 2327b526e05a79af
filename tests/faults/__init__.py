"""End-to-end tests of faults: what the exporter does when the world around it fails."""
