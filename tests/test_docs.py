"""What the documents say is what the program does."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from maestro_exporter import discovery, fitness, statuspage
from maestro_exporter.cluster import Cluster
from maestro_exporter.commands.check import UNFIT_STATUS
from maestro_exporter.commands.survey import INTERRUPTED_STATUS, NO_BROKER_STATUS
from maestro_exporter.metrics import REJECTIONS, REQUESTS, cluster_page, exporter_page
from maestro_exporter.options import OPTIONS
from maestro_exporter.settings import load
from maestro_exporter.snapshot import ERRORS, NOTIFICATIONS, RESULTS, TYPES
from maestro_exporter.statuspage.question import COLUMNS, ORDERS, SHOWN
from maestro_exporter.values import USAGE_STATUS
from tests.samples import exporter_state

pytestmark = pytest.mark.source

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else ""


def families() -> set[str]:
    """Give the names and labels of all families, as `name{label,label}`."""
    snapshot = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
    pages = [*cluster_page(snapshot), *exporter_page(exporter_state())]
    return {
        family.name + (f"{{{','.join(family.labels)}}}" if family.labels else "")
        for family, _ in pages
    }


def test_readme_names_every_metric() -> None:
    """The README's tables list the families that there are, with their labels, and no others."""
    listed = re.findall(r"^\| `(maestro_[^`]+)` \|", README, re.MULTILINE)

    assert sorted(listed) == sorted(families())


def test_readme_names_every_option() -> None:
    """The README's table lists each option with its variable and its default, and no others.

    The default of a flag is `false`, as a variable spells it.  A secret has a variable alone.
    """
    rows = re.findall(
        r"^\| (?:`-(\w)`, )?(?:`--([^`]+)` )?\| `([A-Z_]+)` \| (?:`([^`]+)` )?",
        README,
        re.MULTILINE,
    )

    assert sorted(rows) == sorted(
        (option.short, "" if option.secret else option.name, option.variable, option.default)
        for option in OPTIONS
    )


def test_readme_names_closed_sets() -> None:
    """The README names every value of the labels that have a closed set of them."""
    for word in (*TYPES, *REJECTIONS, *REQUESTS, *NOTIFICATIONS, *ERRORS, *RESULTS):
        assert f"`{word}`" in README


def api_section(title: str) -> str:
    """Give what `docs/api.md` has below a heading, up to the next one."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    _, found, rest = text.partition(f"# {title}\n")
    assert found
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_api_names_every_parameter() -> None:
    """The API's documentation lists the parameters that there are, and no others."""
    for title, parameters in (
        ("Parameters of a check", fitness.PARAMETERS),
        ("Parameters of the discovery", discovery.PARAMETERS),
    ):
        items = re.findall(r"^\* ((?:`\w+`(?:, )?)+):", api_section(title), re.MULTILINE)
        listed = [name for item in items for name in re.findall(r"`(\w+)`", item)]

        assert listed == [each.name for each in parameters]


def test_api_names_every_kind() -> None:
    """The API's documentation lists the kinds of findings that there are, in their order."""
    items = re.findall(r"^\* `(\w+)`:", api_section("Kinds of reasons and warnings"), re.MULTILINE)

    assert items == list(fitness.KINDS)


def test_configuration_file() -> None:
    """The configuration file that comes with the project is read, and says the defaults."""
    path = ROOT / "etc" / "maestro-exporter-service.conf"

    assert replace(load({"config": [str(path)]}, {}), file=None) == load({}, {})


def test_lower_bounds() -> None:
    """The lower bounds of setup.py are the versions that were tried."""
    wanted = set(re.findall(r'"([a-z\[\]-]+)>=([0-9.]+)"', (ROOT / "setup.py").read_text("utf-8")))
    tried = dict(
        re.findall(
            r"^([a-z\[\]-]+)==([0-9.]+)$",
            (ROOT / "tests/oldest.txt").read_text("utf-8"),
            re.MULTILINE,
        )
    )

    assert {name for name, _ in wanted} - {"prometheus-client"} <= set(tried)
    for name, bound in wanted:
        if (name, bound) == ("prometheus-client", "0.26"):
            continue  # what the tests of the page are compared with
        assert f"{tried[name]}.".startswith(f"{bound}."), name


def test_guide_to_readiness_names_every_option() -> None:
    """It lists what `check` demands, with its defaults, and each status."""
    guide = (ROOT / "docs/readiness.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `--([a-z-]+) [^|]*\| `?([^|`]+)`? \|", guide, re.MULTILINE))

    for each in fitness.PARAMETERS:
        option = each.name.replace("_", "-")
        if each.default is None:
            assert f"`--{option} N`" in guide
        else:
            assert each.parse(rows[option]) == each.default
    for status in (0, UNFIT_STATUS, USAGE_STATUS, NO_BROKER_STATUS, INTERRUPTED_STATUS):
        assert f"\n| {status} |" in guide


def test_guide_to_the_status_page_names_every_warning_and_parameter() -> None:
    """It lists the titles of the warnings, in their order, and all that can be asked for."""
    guide = (ROOT / "docs/status-page.md").read_text("utf-8")
    section = guide.partition("**Warnings**")[2].partition("**Test**")[0]
    shown = [
        title.partition(":")[0]
        for kind, title in fitness.KINDS.items()
        if kind not in ("too_few", "not_pinged", "clock_unknown")
    ]

    assert re.findall(r"^\| ([A-Z][^|]*) \|", section, re.MULTILINE) == shown
    assert re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE) == [
        each.name for each in statuspage.PARAMETERS
    ]
    for word in (*SHOWN, *COLUMNS, *ORDERS):
        assert f"`{word}`" in guide
