-- +goose Up

-- The newest commit of a service's branch that is not deployed by itself: it changes
-- nothing of the source directory, or was pushed while the service was paused.
CREATE TABLE passed_commit (
    service_id TEXT PRIMARY KEY,
    place      TEXT NOT NULL, -- repository, branch and directory
    commit_id  TEXT NOT NULL
);

-- +goose Down
DROP TABLE passed_commit;
