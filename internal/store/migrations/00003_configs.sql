-- +goose Up
CREATE TABLE observability (
    arn          TEXT PRIMARY KEY,
    name         TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    latest       BIGINT NOT NULL,
    active       BIGINT NOT NULL,
    trace_vendor TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    deleted_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX observability_revision ON observability (name, revision) WHERE active = 1;

-- The credential is encrypted, in base64.
CREATE TABLE connection (
    arn        TEXT PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    provider   TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    credential TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- What a service's specification (holder is its id), or the one that a live
-- operation is to deploy (holder is the operation's id), names.
CREATE TABLE reference (
    holder TEXT NOT NULL,
    arn    TEXT NOT NULL,
    PRIMARY KEY (holder, arn)
);
CREATE INDEX reference_arn ON reference (arn);
INSERT INTO reference (holder, arn) SELECT id, autoscaling_arn FROM service WHERE deleted_at = 0 AND autoscaling_arn <> '';
INSERT INTO reference (holder, arn) SELECT id, autoscaling_arn FROM operation
    WHERE autoscaling_arn <> '' AND status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS');
DROP INDEX service_autoscaling;
ALTER TABLE service DROP COLUMN autoscaling_arn;
ALTER TABLE operation DROP COLUMN autoscaling_arn;

-- +goose Down
ALTER TABLE operation ADD COLUMN autoscaling_arn TEXT NOT NULL DEFAULT '';
ALTER TABLE service ADD COLUMN autoscaling_arn TEXT NOT NULL DEFAULT '';
UPDATE service SET autoscaling_arn = COALESCE((SELECT arn FROM reference WHERE holder = service.id AND arn LIKE '%:autoscalingconfiguration/%'), '');
UPDATE operation SET autoscaling_arn = COALESCE((SELECT arn FROM reference WHERE holder = operation.id AND arn LIKE '%:autoscalingconfiguration/%'), '');
CREATE INDEX service_autoscaling ON service (autoscaling_arn) WHERE deleted_at = 0;
DROP TABLE reference;
DROP TABLE connection;
DROP TABLE observability;
