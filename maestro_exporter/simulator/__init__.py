"""A simulated Maestro cluster: peers that answer and run tests on a real MQTT broker.

Read from the bottom up: `peers` (what one process answers), `events` and
`scenario` (what happens to all of them, from a seed), `connection` (MQTT),
`cluster` (the one thread that makes it happen) and `cli` (the command).  Of the
exporter, only `notes` is used here.
"""

from maestro_exporter.simulator.cluster import SimulatedCluster, Status
from maestro_exporter.simulator.peers import Peer, Work
from maestro_exporter.simulator.scenario import Scenario, Script

__all__ = ["Peer", "Scenario", "Script", "SimulatedCluster", "Status", "Work"]
