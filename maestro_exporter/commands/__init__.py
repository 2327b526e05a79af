"""The subcommands of `maestro-exporter`: each has a `main` that gives its exit status."""
