"""How fast the exporter is: `python -m bench`, see `bench/__main__.py`.

Each figure that must reach something is a ratio of two things measured side by side in one
run, or a bound: figures of different machines are not compared.  Nothing here changes what the
exporter does; what looks into it only reads.
"""
