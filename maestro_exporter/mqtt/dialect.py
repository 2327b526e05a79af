"""Which version of MQTT to speak."""

from __future__ import annotations

from paho.mqtt.enums import MQTTProtocolVersion

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


_VERSIONS = {"5": V5, "3.1.1": V311}


class Dialect:
    """The version to speak: 5, unless the broker refuses it.

    Some brokers that do not know it hang up without a word, or wait for more; but so does a proxy
    whose broker is away.  So when 3.1.1 is accepted after such a silence, 5 is tried once more.

    Args:
        only: the name of the one version to speak; empty to find out.

    Attributes:
        version: for the next attempt.
    """

    def __init__(self, only: str = "") -> None:
        self.version = _VERSIONS[only] if only else V5
        self._settled = bool(only)
        self._fixed = bool(only)
        self._doubted = False

    @property
    def name(self) -> str:
        """The version in words."""
        return next(name for name, version in _VERSIONS.items() if version == self.version)

    def refused(self) -> bool:
        """The broker says that it does not know this version; tell whether there is another."""
        if self._fixed or self.version == V311:
            return False
        self.version, self._settled = V311, True
        return True

    def unanswered(self) -> None:
        """The broker, or something on the way, hung up instead of an answer, or gave none."""
        if not self._settled:
            self.version = V5 if self.version == V311 else V311

    def accepted(self) -> bool:
        """The broker accepts this version; tell whether to go on with it."""
        if self.version == V311 and not self._settled and not self._doubted:
            self._doubted = True
            self.version = V5
            return False
        self._settled = True
        return True
