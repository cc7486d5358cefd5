-- +goose Up
-- Times are nanoseconds since 1970, 0 for none. JSON is opaque text.

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES ('route', 0);

CREATE TABLE service (
    id              TEXT PRIMARY KEY,
    name            TEXT   NOT NULL,
    arn             TEXT   NOT NULL UNIQUE,
    label           TEXT   NOT NULL UNIQUE,
    spec            TEXT   NOT NULL,
    autoscaling_arn TEXT   NOT NULL,
    wanted          TEXT   NOT NULL,
    status          TEXT   NOT NULL,
    active_release  TEXT   NOT NULL,
    route_version   BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    deleted_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX service_name ON service (name) WHERE deleted_at = 0;
CREATE INDEX service_route ON service (route_version);
CREATE INDEX service_order ON service (created_at, id) WHERE deleted_at = 0;
CREATE INDEX service_autoscaling ON service (autoscaling_arn) WHERE deleted_at = 0;

CREATE TABLE operation (
    id              TEXT PRIMARY KEY,
    service_id      TEXT   NOT NULL,
    kind            TEXT   NOT NULL,
    input           TEXT   NOT NULL,
    autoscaling_arn TEXT   NOT NULL,
    status          TEXT   NOT NULL,
    step            TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    cause           TEXT   NOT NULL,
    cancel          TEXT   NOT NULL,
    attempt         BIGINT NOT NULL,
    deadline        BIGINT NOT NULL,
    owner           TEXT   NOT NULL,
    fence           BIGINT NOT NULL,
    lease_until     BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    ended_at        BIGINT NOT NULL
);
-- One live operation per service: the second insert fails, nobody locks.
CREATE UNIQUE INDEX operation_live ON operation (service_id)
    WHERE status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS');
CREATE INDEX operation_due ON operation (lease_until)
    WHERE status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS');
CREATE INDEX operation_order ON operation (service_id, created_at, id);

CREATE TABLE release (
    id           TEXT PRIMARY KEY,
    service_id   TEXT   NOT NULL,
    operation_id TEXT   NOT NULL,
    image        TEXT   NOT NULL,
    settings     TEXT   NOT NULL,
    desired      TEXT   NOT NULL,
    size         BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE INDEX release_service ON release (service_id, created_at);

CREATE TABLE instance (
    id         TEXT PRIMARY KEY,
    service_id TEXT   NOT NULL,
    release_id TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    exit       TEXT   NOT NULL,
    problem    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    ready_at   BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL
);
CREATE INDEX instance_service ON instance (service_id, created_at);
CREATE INDEX instance_release ON instance (release_id);

-- Services whose image was pushed anew and who deploy by themselves.
CREATE TABLE pending_deployment (
    service_id TEXT PRIMARY KEY,
    at         BIGINT NOT NULL
);

CREATE TABLE event (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    service_id   TEXT   NOT NULL,
    operation_id TEXT   NOT NULL,
    stream       TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    text         TEXT   NOT NULL
);
CREATE INDEX event_stream ON event (service_id, stream, id);

CREATE TABLE autoscaling (
    arn             TEXT PRIMARY KEY,
    name            TEXT   NOT NULL,
    revision        BIGINT NOT NULL,
    max_concurrency BIGINT NOT NULL,
    min_size        BIGINT NOT NULL,
    max_size        BIGINT NOT NULL,
    latest          BIGINT NOT NULL,
    is_default      BIGINT NOT NULL,
    active          BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    deleted_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX autoscaling_revision ON autoscaling (name, revision) WHERE active = 1;
CREATE UNIQUE INDEX autoscaling_default ON autoscaling (is_default) WHERE is_default = 1;

CREATE TABLE tag (
    arn      TEXT   NOT NULL,
    key      TEXT   NOT NULL,
    value    TEXT   NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (arn, key)
);

CREATE TABLE access_key (
    id         TEXT PRIMARY KEY,
    secret     TEXT   NOT NULL,
    username   TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- Routers tell that they live and, per draining release or instance, that
-- nothing is in flight on it any more.
CREATE TABLE router (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE TABLE drained (
    router TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (router, target)
);

-- +goose Down
DROP TABLE drained;
DROP TABLE router;
DROP TABLE access_key;
DROP TABLE tag;
DROP TABLE autoscaling;
DROP TABLE event;
DROP TABLE pending_deployment;
DROP TABLE instance;
DROP TABLE release;
DROP TABLE operation;
DROP TABLE service;
DROP TABLE counter;
