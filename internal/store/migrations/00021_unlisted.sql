-- +goose Up

-- 1 while instances of a release may exist that have no row: from the moment that it is to run
-- until the fleet has seen that it is to run no more.
ALTER TABLE release ADD COLUMN unlisted BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE release DROP COLUMN unlisted;
