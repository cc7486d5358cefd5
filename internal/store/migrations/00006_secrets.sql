-- +goose Up
-- Data keys, each encrypted to the master key, in base64.
CREATE TABLE data_key (
    id         TEXT PRIMARY KEY,
    master     TEXT   NOT NULL,
    wrapped    TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE data_key;
