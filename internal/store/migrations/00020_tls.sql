-- +goose Up

-- What TLS keeps and every server of the database needs: the local certificate authority and
-- the keys of session tickets, each sealed.
CREATE TABLE tls (
  name        TEXT PRIMARY KEY,
  sealed      TEXT NOT NULL,
  modified_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE tls;
