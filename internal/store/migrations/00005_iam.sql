-- +goose Up
-- Who may call, what they may do, and what they did.

ALTER TABLE access_key ADD COLUMN inactive BIGINT NOT NULL DEFAULT 0;
CREATE INDEX access_key_user ON access_key (username, created_at);

CREATE TABLE iam_user (
    name       TEXT PRIMARY KEY,
    folded     TEXT   NOT NULL UNIQUE, -- the name in lower case: IAM's are unique without regard to it
    id         TEXT   NOT NULL UNIQUE,
    path       TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE iam_policy (
    arn             TEXT PRIMARY KEY,
    id              TEXT   NOT NULL UNIQUE,
    name            TEXT   NOT NULL,
    folded          TEXT   NOT NULL UNIQUE,
    path            TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    default_version BIGINT NOT NULL,
    last_version    BIGINT NOT NULL, -- numbers are never used again
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE TABLE iam_policy_version (
    arn        TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    document   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (arn, version)
);

-- Managed policies of users, ours and the provided ones, which have no row.
CREATE TABLE iam_attachment (
    username TEXT NOT NULL,
    arn      TEXT NOT NULL,
    PRIMARY KEY (username, arn)
);
CREATE INDEX iam_attachment_arn ON iam_attachment (arn);

CREATE TABLE iam_inline_policy (
    username TEXT NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (username, name)
);

-- Temporary credentials.
CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    secret     TEXT   NOT NULL,
    token      TEXT   NOT NULL,
    username   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_user ON session (username);
CREATE INDEX session_expiry ON session (expires_at);

-- Calls that changed something or tried to.
CREATE TABLE audit (
    id       TEXT PRIMARY KEY,
    at       BIGINT NOT NULL,
    name     TEXT   NOT NULL,
    source   TEXT   NOT NULL,
    username TEXT   NOT NULL,
    key_id   TEXT   NOT NULL,
    record   TEXT   NOT NULL
);
CREATE INDEX audit_order ON audit (at, id);
CREATE TABLE audit_resource (
    audit_id TEXT NOT NULL,
    type     TEXT NOT NULL,
    name     TEXT NOT NULL,
    PRIMARY KEY (audit_id, name)
);
CREATE INDEX audit_resource_name ON audit_resource (name);

-- +goose Down
DROP TABLE audit_resource;
DROP TABLE audit;
DROP TABLE session;
DROP TABLE iam_inline_policy;
DROP TABLE iam_attachment;
DROP TABLE iam_policy_version;
DROP TABLE iam_policy;
DROP TABLE iam_user;
DROP INDEX access_key_user;
ALTER TABLE access_key DROP COLUMN inactive;
