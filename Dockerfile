# Built by Docker 23 or later (BuildKit): docker build -t social-wallet .

FROM rust:1-bookworm AS builder
WORKDIR /src
COPY . .
# The two caches keep the dependencies, downloaded and compiled, between builds on one machine. They are not part of the
# image, hence the copy.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin social-wallet \
    && cp target/release/social-wallet /usr/local/bin/social-wallet

# The same Debian as the builder: the binary links to its C library and to nothing else.
FROM debian:bookworm-slim
# A fixed number, so that an orchestrator can demand a non-root user and the volume's owner is known.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/social-wallet --shell /usr/sbin/nologin \
      social-wallet \
    && install -d -o social-wallet -g social-wallet -m 0700 /var/lib/social-wallet
COPY --from=builder /usr/local/bin/social-wallet /usr/local/bin/social-wallet

USER 10001:10001
WORKDIR /var/lib/social-wallet
# What lives outside the database.
VOLUME /var/lib/social-wallet
# For documentation only: the service listens on loopback, see docker-compose.yml.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["social-wallet", "health", "--server", "http://127.0.0.1:8080"]
ENTRYPOINT ["social-wallet"]
CMD ["--help"]
