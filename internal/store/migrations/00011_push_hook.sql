-- +goose Up

-- The webhooks by which providers of source code tell of pushes, one for a connection.
CREATE TABLE push_hook (
    id             TEXT PRIMARY KEY,
    connection_arn TEXT   NOT NULL UNIQUE,
    secret         TEXT   NOT NULL, -- sealed, in base64
    created_at     BIGINT NOT NULL,
    delivered_at   BIGINT NOT NULL
);

-- Deliveries that were accepted: they are refused when they come again.
CREATE TABLE push_delivery (
    hook_id      TEXT   NOT NULL,
    delivery_key TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    PRIMARY KEY (hook_id, delivery_key)
);
CREATE INDEX push_delivery_order ON push_delivery (hook_id, at);

-- +goose Down
DROP TABLE push_delivery;
DROP TABLE push_hook;
