-- +goose Up

-- Who created a webhook: a user has a share of the webhooks of a server.
ALTER TABLE webhook ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE webhook DROP COLUMN created_by;
