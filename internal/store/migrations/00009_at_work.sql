-- +goose Up

-- Of many releases most have stopped; those that have not are looked at often.
CREATE INDEX release_at_work ON release (service_id, desired) WHERE desired <> 'stop';

-- +goose Down
DROP INDEX release_at_work;
