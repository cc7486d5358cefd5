-- +goose Up

CREATE TABLE webhook (
    id         TEXT PRIMARY KEY,
    url        TEXT   NOT NULL,
    service    TEXT   NOT NULL, -- name, or '' for all
    types      TEXT   NOT NULL, -- JSON list, empty for all
    secret     TEXT   NOT NULL, -- sealed, in base64
    created_at BIGINT NOT NULL
);

-- Events that some webhook wants, as they are sent.
CREATE TABLE bus_event (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT   NOT NULL UNIQUE,
    service_id TEXT   NOT NULL,
    service    TEXT   NOT NULL,
    type       TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    body       TEXT   NOT NULL
);

CREATE TABLE delivery (
    webhook_id TEXT   NOT NULL,
    seq        BIGINT NOT NULL, -- of the event
    service_id TEXT   NOT NULL, -- the event's
    state      TEXT   NOT NULL,
    attempts   BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    status     BIGINT NOT NULL,
    problem    TEXT   NOT NULL,
    PRIMARY KEY (webhook_id, seq)
);
-- Events of one service go to a webhook one after another: at most one is due.
CREATE UNIQUE INDEX delivery_line ON delivery (webhook_id, service_id) WHERE state = 'DUE';
CREATE INDEX delivery_due ON delivery (webhook_id, next_at) WHERE state = 'DUE';
CREATE INDEX delivery_held ON delivery (webhook_id, service_id, seq) WHERE state = 'HELD';
CREATE INDEX delivery_event ON delivery (seq);
CREATE INDEX delivery_ended ON delivery (ended_at) WHERE ended_at > 0;

-- +goose Down
DROP TABLE delivery;
DROP TABLE bus_event;
DROP TABLE webhook;
