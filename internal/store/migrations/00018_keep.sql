-- +goose Up

-- Until when a paused service keeps the instances of the release, frozen; 0 for not.
ALTER TABLE release ADD COLUMN keep_until BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE release DROP COLUMN keep_until;
