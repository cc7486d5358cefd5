-- +goose Up
-- A service's own names. due_at is when the domain is to be looked at next, 0
-- when it rests.
CREATE TABLE custom_domain (
    id         TEXT PRIMARY KEY,
    service_id TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    www        BIGINT NOT NULL,
    records    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT NOT NULL,
    state      TEXT   NOT NULL,
    since      BIGINT NOT NULL,
    due_at     BIGINT NOT NULL
);
CREATE INDEX custom_domain_service ON custom_domain (service_id, created_at, id);
CREATE INDEX custom_domain_due ON custom_domain (due_at) WHERE due_at > 0;

-- A host name belongs to one domain: the second insert fails, nobody locks.
CREATE TABLE custom_domain_host (
    host      TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL
);
CREATE INDEX custom_domain_host_domain ON custom_domain_host (domain_id);

-- Random texts that tell this installation from all others.
CREATE TABLE seed (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- +goose Down
DROP TABLE seed;
DROP TABLE custom_domain_host;
DROP TABLE custom_domain;
