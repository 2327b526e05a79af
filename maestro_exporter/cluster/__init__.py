"""What is known of a Maestro cluster: the peers, their clocks, the rounds, the test runs.

`Cluster` takes notes and moments and gives snapshots.  Nothing here does I/O,
reads a clock or knows metric names: time is an argument everywhere.
"""

from maestro_exporter.cluster.cluster import Cluster

__all__ = ["Cluster"]
