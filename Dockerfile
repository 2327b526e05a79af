# The exporter, and as its subcommand `simulate` the simulated cluster:
#
#   docker build -t maestro-exporter .
#   docker run -p 9120:9120 -e MAESTRO_BROKER=mqtt://broker.example.com maestro-exporter
#   docker run maestro-exporter simulate -m mqtt://broker.example.com
#
# Each option has a variable; README.md lists them.

# requirements.txt is made with Python 3.11. It holds for 3.13 too: no dependency wants more there,
# and pip takes nothing that it has no hash for. Whoever takes another Python looks for both first.
FROM python:3.13-slim-trixie AS builder

WORKDIR /source

# Wheels only, so no compiler. An environment without pip, which the exporter has no use for.
COPY requirements.txt docker/requirements-build.txt ./
RUN python -m venv --without-pip /opt/maestro-exporter \
    && pip --python /opt/maestro-exporter/bin/python --disable-pip-version-check install \
        --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.txt \
    && pip --disable-pip-version-check install --root-user-action ignore \
        --no-cache-dir --require-hashes --only-binary :all: --requirement requirements-build.txt

# After the dependencies, so that a change of the project alone does not fetch them again.
COPY . .
RUN pip --disable-pip-version-check wheel \
        --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/maestro-exporter/bin/python --disable-pip-version-check install \
        --no-cache-dir --no-deps --no-index /wheels/*.whl


FROM python:3.13-slim-trixie

LABEL org.opencontainers.image.title="maestro-exporter" \
    org.opencontainers.image.description="Publishes the state of a Maestro test cluster to Prometheus" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"

COPY --from=builder /opt/maestro-exporter /opt/maestro-exporter
ENV PATH=/opt/maestro-exporter/bin:$PATH

# A number, by which Kubernetes can tell that it is not root. It owns nothing here; a read-only file
# system will do.
USER 65532:65532

EXPOSE 9120
STOPSIGNAL SIGTERM

# Without what a proxy variable says. Where the pages have TLS, or another port by an option or
# MAESTRO_EXPORTER_LISTEN_ADDRESS, give a check of your own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-Ic", "from os import environ; from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:' + (environ.get('MAESTRO_EXPORTER_PORT') or '9120') + '/-/healthy', timeout=4)"]

ENTRYPOINT ["maestro-exporter"]
