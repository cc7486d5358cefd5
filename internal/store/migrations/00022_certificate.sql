-- +goose Up

-- Certificates that a public authority issues, or should: one row for each name.
CREATE TABLE certificate (
  name       TEXT PRIMARY KEY,
  service_id TEXT NOT NULL,
  not_after  BIGINT NOT NULL,
  renew_at   BIGINT NOT NULL,
  failure    TEXT NOT NULL,
  advice     TEXT NOT NULL,
  failures   BIGINT NOT NULL,
  next_at    BIGINT NOT NULL
);
CREATE INDEX certificate_service ON certificate (service_id);

-- Who is asking the authority for what: one order for a name at a time, of all servers. What
-- has not changed for a while belongs to a server that has died.
CREATE TABLE tls_lock (
  name  TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  sign  BIGINT NOT NULL
);

-- +goose Down
DROP TABLE tls_lock;
DROP INDEX certificate_service;
DROP TABLE certificate;
