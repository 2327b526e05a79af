"""What an installation of the package leads to, however it was installed.

The tests marked `source` install the source tree; they are left out where it is out of reach.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

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
    """In a checkout that is the source tree itself, anywhere else the installed package."""
    expected = ROOT if (ROOT / "setup.py").exists() else SITE_PACKAGES
    assert Path(maestro_exporter.__file__).parents[1] == expected


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


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is installed of the source tree, so that no build touches the original."""
    copy = tmp_path_factory.mktemp("source")
    leftovers = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for name in ("maestro_exporter", "twisted"):
        shutil.copytree(ROOT / name, copy / name, ignore=leftovers)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def wheel(source: Path) -> list[str | Path]:
    """Builds the wheel."""
    pip = [sys.executable, "-m", "pip"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", "wheels", ".", cwd=source)
    return list((source / "wheels").glob("*.whl"))


def tree(source: Path) -> list[str | Path]:
    """The source tree, to be copied."""
    return [source]


def editable(source: Path) -> list[str | Path]:
    """The source tree, to be used where it is."""
    return ["--editable", source]


@pytest.mark.source
@pytest.mark.parametrize("what", [wheel, tree, editable])
def test_each_way_to_install_leads_to_a_working_plugin(
    what: Callable[[Path], list[str | Path]], source: Path, tmp_path: Path
) -> None:
    """From the wheel, from the tree and editable: one plugin, and a command that starts."""
    # The dependencies are those of this environment: its folder is only added to the search path,
    # so what its own .pth files add, such as an editable install of ours, is not seen. An ordinary
    # one would be.
    assert not (SITE_PACKAGES / "maestro_exporter").exists(), "this needs an editable install"
    venv.create(tmp_path / "env", with_pip=False)
    bin_ = tmp_path / "env/bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin_ / "python")]
    run(*pip, "install", "--no-deps", *what(source), cwd=tmp_path)
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
