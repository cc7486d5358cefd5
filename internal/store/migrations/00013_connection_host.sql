-- +goose Up

-- Connections beyond App Runner's: the host that the credential is for, and the public
-- half of a deploy key.
ALTER TABLE connection ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE connection ADD COLUMN public_key TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE connection DROP COLUMN public_key;
ALTER TABLE connection DROP COLUMN host;
