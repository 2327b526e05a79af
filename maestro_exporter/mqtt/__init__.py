"""The connection to the Maestro broker; only this package and the simulator know paho.

* `link`: one connection after the other, in the network thread;
* `clients`: paho's client, made and spoken to as we want it;
* `drops`: what the broker says that it dropped;
* `dialect`: which version of MQTT to speak;
* `failures`: what went wrong, by reason and in words.
"""
