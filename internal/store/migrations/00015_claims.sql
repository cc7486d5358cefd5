-- +goose Up

-- Several services may claim a host name. One may hold it: the one whose claim was proved
-- first. The unique index makes a second holder fail, and nobody locks.
ALTER TABLE custom_domain_host RENAME TO custom_domain_host_before;
CREATE TABLE custom_domain_host (
    host      TEXT   NOT NULL,
    domain_id TEXT   NOT NULL,
    held      BIGINT NOT NULL,
    PRIMARY KEY (host, domain_id)
);
INSERT INTO custom_domain_host (host, domain_id, held)
    SELECT h.host, h.domain_id, CASE WHEN d.state IN ('binding_certificate', 'active') THEN 1 ELSE 0 END
    FROM custom_domain_host_before h JOIN custom_domain d ON d.id = h.domain_id;
DROP TABLE custom_domain_host_before;
CREATE INDEX custom_domain_host_domain ON custom_domain_host (domain_id);
CREATE UNIQUE INDEX custom_domain_host_held ON custom_domain_host (host) WHERE held = 1;

-- +goose Down
ALTER TABLE custom_domain_host RENAME TO custom_domain_host_after;
CREATE TABLE custom_domain_host (
    host      TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL
);
INSERT INTO custom_domain_host (host, domain_id) SELECT host, min(domain_id) FROM custom_domain_host_after GROUP BY host;
DROP TABLE custom_domain_host_after;
CREATE INDEX custom_domain_host_domain ON custom_domain_host (domain_id);
