"""Makes the dashboards and the rules of this folder; `make boards` runs it.

Read from the bottom up: `config` (what a site may want to change), `promql` (selectors),
`panels` (the kinds of panels), `board` (rows, variables, annotations, the whole), `test_cluster`
and `brokers` (the two boards), `rules` (alerts, and what they are computed from).

The boards are Grafana's classic JSON. They declare schema 39, which each Grafana since 10.4 takes,
and have nothing that a later schema writes otherwise. Nothing in them names an installation: the
data source is a variable, and so is the job.
"""
