-- +goose Up

-- Who made what: a user has a share of the rows of a server. What was made before, or by
-- root, has no row here.
CREATE TABLE made (
    arn     TEXT PRIMARY KEY,
    kind    TEXT   NOT NULL, -- the table of the thing
    user_id TEXT   NOT NULL,
    bytes   BIGINT NOT NULL  -- what its values take, where they count
);
CREATE INDEX made_by ON made (user_id, kind);

-- A user has a share of the audit's records.
CREATE INDEX audit_user ON audit (username, at, id);

-- +goose Down
DROP INDEX audit_user;
DROP TABLE made;
