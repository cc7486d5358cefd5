-- +goose Up
-- What is sealed (package seal) is text in base64.

-- Data keys, each encrypted to the master key.
CREATE TABLE data_key (
    id         TEXT PRIMARY KEY,
    master     TEXT   NOT NULL,
    wrapped    TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- A secret that is to be deleted keeps its name until then.
CREATE TABLE secret (
    arn         TEXT PRIMARY KEY,
    name        TEXT   NOT NULL UNIQUE,
    description TEXT   NOT NULL,
    kms_key     TEXT   NOT NULL,
    policy      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    accessed_at BIGINT NOT NULL,
    deleted_at  BIGINT NOT NULL,
    purge_at    BIGINT NOT NULL
);
CREATE INDEX secret_purge ON secret (purge_at) WHERE purge_at > 0;

CREATE TABLE secret_version (
    secret_arn  TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    stages      TEXT   NOT NULL,
    is_binary   BIGINT NOT NULL,
    sealed      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    accessed_at BIGINT NOT NULL,
    PRIMARY KEY (secret_arn, id)
);

CREATE TABLE parameter (
    name       TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    latest     BIGINT NOT NULL,
    settings   TEXT   NOT NULL,
    sealed     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX parameter_latest ON parameter (name) WHERE latest = 1;

-- The values of the secrets that a release's instances are started with.
ALTER TABLE release ADD COLUMN secrets TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE release DROP COLUMN secrets;
DROP TABLE parameter;
DROP TABLE secret_version;
DROP TABLE secret;
DROP TABLE data_key;
