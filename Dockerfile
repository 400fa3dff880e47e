# The relay alone, as an unprivileged user.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /build
# For jemalloc.
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY sql sql
COPY migrations migrations
COPY clients/js/rowcast.js clients/js/rowcast.js
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin rowcast && cp target/release/rowcast /rowcast

FROM docker.io/library/debian:bookworm-slim
RUN useradd --system --user-group --no-create-home rowcast
# For sslrootcert=system.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /rowcast /usr/local/bin/rowcast
USER rowcast
# Every address of the container: `rowcast serve` does not start so until --auth (ROWCAST_AUTH) says who may read.
ENV ROWCAST_LISTEN=0.0.0.0:8080
EXPOSE 8080
# Whether the process answers: that the database is away is no reason to restart it. Of plain HTTP on this port; with --tls-cert or
# --admin-listen give the container another one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health/live HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
# Streams end with `event: end` over the grace period.
STOPSIGNAL SIGTERM
ENTRYPOINT ["rowcast"]
CMD ["serve"]
