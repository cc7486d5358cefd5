-- +goose Up

-- Directories of source code that users sent. Their files are in the data directory.
CREATE TABLE upload (
    id         TEXT PRIMARY KEY,
    owner      TEXT   NOT NULL, -- unique id of a user
    snapshot   TEXT   NOT NULL, -- id of the content
    files      BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
-- The same content of the same user is the same upload.
CREATE UNIQUE INDEX upload_snapshot ON upload (owner, snapshot);

-- +goose Down
DROP TABLE upload;
