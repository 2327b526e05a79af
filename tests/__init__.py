"""The tests; those under e2e start real programs."""
