-- +goose Up

-- What is set of repositories of the server's registry. One that was pushed to
-- and never set has no row.
CREATE TABLE repository (
    name       TEXT PRIMARY KEY,
    settings   TEXT   NOT NULL, -- JSON
    created_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE repository;
