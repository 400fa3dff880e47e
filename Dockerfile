# The relay alone, as an unprivileged user.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /build
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
# Streams end with `event: end` over the grace period.
STOPSIGNAL SIGTERM
ENTRYPOINT ["rowcast"]
CMD ["serve"]
