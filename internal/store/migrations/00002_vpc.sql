-- +goose Up
CREATE TABLE vpc_connector (
    arn             TEXT PRIMARY KEY,
    name            TEXT   NOT NULL,
    subnets         TEXT   NOT NULL,
    security_groups TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    deleted_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX vpc_connector_name ON vpc_connector (name) WHERE deleted_at = 0;
CREATE INDEX vpc_connector_order ON vpc_connector (created_at, arn) WHERE deleted_at = 0;

CREATE TABLE vpc_ingress_connection (
    arn        TEXT PRIMARY KEY,
    name       TEXT   NOT NULL,
    service_id TEXT   NOT NULL,
    label      TEXT   NOT NULL UNIQUE,
    vpc        TEXT   NOT NULL,
    endpoint   TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    removed_at BIGINT NOT NULL,
    seen       BIGINT NOT NULL,
    failure    TEXT   NOT NULL,
    serving    TEXT   NOT NULL,
    available  BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX vpc_ingress_connection_name ON vpc_ingress_connection (name) WHERE deleted_at = 0;
CREATE INDEX vpc_ingress_connection_service ON vpc_ingress_connection (service_id) WHERE deleted_at = 0;
CREATE INDEX vpc_ingress_connection_order ON vpc_ingress_connection (created_at, arn) WHERE deleted_at = 0;

-- +goose Down
DROP TABLE vpc_ingress_connection;
DROP TABLE vpc_connector;
