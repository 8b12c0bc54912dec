# The host and its roles. `docker build -t juggernaut .`; every setting is in docs/CONFIGURATION.md.
# /healthz answers while the process lives, /readyz while the database is reachable and migrated: probe from outside,
# the image has no HEALTHCHECK of its own.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# Host, forge and roles, each role beside its manifest, and roles.lock, the digests of what was built. Needs no database: the checked queries are in .sqlx/.
RUN cargo xtask build

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin juggernaut
COPY --from=build /src/target/release/juggernaut /usr/local/bin/juggernaut
COPY --from=build /src/target/roles /opt/juggernaut/roles
# The image holds the roles that were locked; `serve` compares them again at each start.
RUN juggernaut role lock --check /opt/juggernaut/roles
# PORT makes the host listen on all addresses; Railway sets its own.
ENV JUGGERNAUT_ROLES=/opt/juggernaut/roles \
    JUGGERNAUT_LOG_FORMAT=json \
    PORT=8080
USER juggernaut
EXPOSE 8080
# SIGTERM drains: no new claims, running tasks finish or are handed back within JUGGERNAUT_GRACE_SECONDS.
STOPSIGNAL SIGTERM
CMD ["juggernaut", "serve"]
