"""Writes the boards and the rules; `--help` has the options."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana.generator import brokers, rules, test_cluster
from grafana.generator.config import Config

FOLDER = Path(__file__).parents[1]


def make(config: Config) -> dict[str, str]:
    """Give the texts of all files, by their paths in the folder grafana."""
    boards = [test_cluster.make(config), brokers.make(config)]
    return {
        **{
            f"dashboards/{board['uid']}.json": json.dumps(board, indent=2, ensure_ascii=False)
            + "\n"
            for board in boards
        },
        "prometheus/maestro.rules.yml": rules.as_text(config),
    }


def main(argv: Sequence[str]) -> int:
    """Write them; give the exit status."""
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m grafana.generator",
        description="Make the dashboards and the rules. Thresholds are in config.py.",
    )
    parser.add_argument(
        "--job",
        default=default.job,
        metavar="NAME",
        help="job_name of the exporters in Prometheus' configuration (default: %(default)s)",
    )
    parser.add_argument(
        "--runbooks",
        default=default.runbooks,
        metavar="URL",
        help="where docs/runbooks can be read (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help="where to write (default: %(default)s)",
    )
    options = parser.parse_args(argv)
    config = Config(job=options.job, runbooks=options.runbooks.rstrip("/"))
    for name, text in make(config).items():
        path = options.output / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        except OSError as error:
            parser.error(f"cannot write {path}: {error.strerror}")
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
