"""What an installation of the package leads to, however it was installed.

The tests marked `source` install the source tree; they are left out where it is out of reach.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

import maestro_exporter

ROOT = Path(__file__).parents[2]
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
BIN = Path(sys.executable).parent

COUNT_MAKERS = """
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
print([maker.tapname for maker in getPlugins(IServiceMaker)].count("maestro-exporter"))
"""


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """What a program prints, its errors included; it must succeed."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


def test_the_suite_tests_the_package_that_it_should() -> None:
    """In a checkout that is the source tree itself, anywhere else the installed package.

    twistd runs the same.
    """
    expected = ROOT if (ROOT / "setup.py").exists() else SITE_PACKAGES
    assert Path(maestro_exporter.__file__).parents[1] == expected
    interpreter = (BIN / "twistd").read_text().splitlines()[0].removeprefix("#!")
    assert Path(interpreter).parent == BIN


def test_twisted_finds_the_plugin_once() -> None:
    """Exactly one service maker has our name."""
    names = [maker.tapname for maker in getPlugins(IServiceMaker)]
    assert names.count("maestro-exporter") == 1


def test_the_installed_version_is_the_one_that_the_package_names() -> None:
    """The metadata and `__version__` agree."""
    assert version("maestro-exporter") == maestro_exporter.__version__


def test_type_checkers_may_use_the_annotations() -> None:
    """The marker file py.typed is shipped."""
    assert Path(maestro_exporter.__file__).with_name("py.typed").is_file()


def test_finding_the_plugin_runs_none_of_our_code(tmp_path: Path) -> None:
    """With a package that cannot be imported, twistd still lists us and shows no error."""
    package = tmp_path / "maestro_exporter"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    help_page = run(BIN / "twistd", "--help", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert "maestro-exporter" in help_page
    assert "Traceback" not in help_page


def files_in_git(*options: str) -> list[str]:
    """What `git ls-files` tells of this checkout, without what has been removed since."""
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-z", *options, cwd=ROOT)
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree, so that no build touches the original.

    In a checkout it has all that is tracked, or would be; else what the package is made of.
    """
    copy = tmp_path_factory.mktemp("source")
    if (ROOT / ".git").exists():
        for name in files_in_git("--cached", "--others", "--exclude-standard"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        return copy
    leftovers = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for name in (*EXAMPLES, "maestro_exporter", "twisted"):
        shutil.copytree(ROOT / name, copy / name, ignore=leftovers)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


class Distributions(NamedTuple):
    """What is published: the sdist, and the wheel that is made of it."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def distributions(source: Path) -> Distributions:
    """Both, built once."""
    run(sys.executable, "-m", "build", cwd=source)
    (sdist,) = (source / "dist").glob("*.tar.gz")
    (wheel,) = (source / "dist").glob("*.whl")
    return Distributions(sdist, wheel)


EXAMPLES = ("etc", "grafana/dashboards", "grafana/prometheus", "grafana/provisioning")


def examples(source: Path) -> set[str]:
    """The files that an installation brings to be copied from."""
    return {
        str(path.relative_to(source))
        for folder in EXAMPLES
        for path in (source / folder).rglob("*")
        if path.is_file()
    }


@pytest.mark.source
def test_the_sdist_has_all_that_git_tracks(distributions: Distributions) -> None:
    """No tracked file is missing in the sdist."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    with tarfile.open(distributions.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sorted(set(files_in_git()) - names) == []


@pytest.mark.source
def test_the_wheel_has_the_plugin_and_the_examples(
    distributions: Distributions, source: Path
) -> None:
    """The wheel holds the twistd plugin, and the examples exactly as they are in the tree."""
    with zipfile.ZipFile(distributions.wheel) as archive:
        names = archive.namelist()
    assert "twisted/plugins/maestro_exporter_plugin.py" in names
    shared = [name.partition(".data/data/")[2] for name in names if ".data/data/" in name]
    assert sorted(shared) == sorted(f"share/maestro-exporter/{name}" for name in examples(source))


@pytest.mark.source
def test_both_distributions_may_be_published(distributions: Distributions, tmp_path: Path) -> None:
    """`twine check --strict` finds nothing wrong in either."""
    twine = [sys.executable, "-m", "twine"]
    said = run(*twine, "check", "--strict", *distributions, cwd=tmp_path, NO_COLOR="1")
    assert said.count("PASSED") == len(distributions)


def wheel(distributions: Distributions, source: Path) -> list[str | Path]:
    """The wheel."""
    return [distributions.wheel]


def tree(distributions: Distributions, source: Path) -> list[str | Path]:
    """The source tree, to be copied."""
    return [source]


def editable(distributions: Distributions, source: Path) -> list[str | Path]:
    """The source tree, to be used where it is."""
    return ["--editable", source]


@pytest.mark.source
@pytest.mark.parametrize("what", [wheel, tree, editable])
def test_each_way_to_install_leads_to_a_working_plugin(
    what: Callable[[Distributions, Path], list[str | Path]],
    distributions: Distributions,
    source: Path,
    tmp_path: Path,
) -> None:
    """Each gives one plugin, and commands that start; all but editable the examples, too."""
    # The dependencies are those of this environment: its folder is only added to the search path,
    # so what its own .pth files add, such as an editable install of ours, is not seen. An ordinary
    # one would be.
    assert not (SITE_PACKAGES / "maestro_exporter").exists(), "this needs an editable install"
    venv.create(tmp_path / "env", with_pip=False)
    bin_ = tmp_path / "env/bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin_ / "python")]
    run(*pip, "install", "--no-deps", *what(distributions, source), cwd=tmp_path)
    (own,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text(f"{SITE_PACKAGES}\n")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run(bin_ / "python", "-c", COUNT_MAKERS, cwd=elsewhere) == "1\n"
    twistd = (bin_ / "python", BIN / "twistd")
    page = run(*twistd, "maestro-exporter", "--version", cwd=elsewhere)
    assert maestro_exporter.__version__ in page
    page = run(bin_ / "maestro-exporter", "--version", cwd=elsewhere)
    assert maestro_exporter.__version__ in page
    page = run(bin_ / "maestro-exporter-service", "--help", cwd=elsewhere)
    assert "maestro-exporter-service" in page

    share = tmp_path / "env/share/maestro-exporter"
    assert examples(share) == (set() if what is editable else examples(source))
    assert not (tmp_path / "env/etc").exists()
    for name in examples(share):
        assert os.access(share / name, os.X_OK) == os.access(source / name, os.X_OK), name
