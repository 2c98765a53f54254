# twistd chordme, with the demo's page, in an image that has no compiler, no Node and no root.
#
#   docker build --tag chordme-daemon .
#   docker run --publish 5000:5000 --env JWT_SECRET_KEY --volume songs:/var/lib/chordme chordme-daemon

# The demo's page.
FROM node:22-slim AS page
WORKDIR /build
COPY frontend/package.json frontend/package-lock.json frontend/
RUN npm ci --prefix frontend --no-audit --no-fund
COPY frontend frontend
RUN mkdir -p chordme_daemon && npm --prefix frontend run demo

# The package and what it needs, in a virtual environment; what every message passes is compiled.
FROM python:3.12-slim AS package
WORKDIR /build
# hadolint ignore=DL3008 # whichever compiler this Debian has
RUN apt-get update && apt-get install --no-install-recommends --yes gcc libc6-dev
RUN python -m venv /opt/chordme
COPY setup.py pyproject.toml MANIFEST.in README.rst NEWS.rst LICENSE ./
COPY docs docs
COPY etc etc
COPY twisted twisted
COPY chordme_daemon chordme_daemon
COPY --from=page /build/chordme_daemon/page chordme_daemon/page
RUN COMPILE_CHORDME=1 /opt/chordme/bin/pip install --no-cache-dir --disable-pip-version-check . \
    # Lets twistd remember its plugins: later it may write nothing here.
    && /opt/chordme/bin/twistd --help > /dev/null

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/chordme --create-home chordme
COPY --from=package /opt/chordme /opt/chordme
ENV PATH=/opt/chordme/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    # Where songs are kept: as with systemd.
    STATE_DIRECTORY=/var/lib/chordme \
    CHORDME_LOG_FORMAT=json
USER 10001
WORKDIR /var/lib/chordme
VOLUME /var/lib/chordme
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5001/health/ready', timeout=4)"]
ENTRYPOINT ["twistd", "--nodaemon", "--pidfile=", "chordme"]
