-- +goose Up

-- Releases that have served, the active one included: their images are kept, so that a
-- service can go back. Rows of table release go once their instances are gone.
CREATE TABLE past_release (
    id         TEXT PRIMARY KEY,
    service_id TEXT   NOT NULL,
    image      TEXT   NOT NULL, -- digest
    image_ref  TEXT   NOT NULL, -- as the user wrote it
    served_at  BIGINT NOT NULL
);
CREATE INDEX past_release_of ON past_release (service_id, served_at DESC, id);

-- +goose Down
DROP TABLE past_release;
