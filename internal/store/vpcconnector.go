package store

import (
	"time"

	"github.com/openslipway/slipway"
)

const vpcConnectorColumns = `arn, name, subnets, security_groups, created_at, deleted_at`

func scanVPCConnector(s scanner) (c slipway.VPCConnector, err error) {
	err = s.Scan(&c.ARN, &c.Name, document{&c.Subnets}, document{&c.SecurityGroups}, instant{&c.CreatedAt}, instant{&c.DeletedAt})
	return c, err
}

// InsertVPCConnector adds a connector. It returns ErrNameTaken if an active one of
// this name exists.
func (tx *Tx) InsertVPCConnector(c slipway.VPCConnector) error {
	return tx.insert("VPC connector "+c.ARN, `INSERT INTO vpc_connector (`+vpcConnectorColumns+`) VALUES ($1, $2, $3, $4, $5, 0)
		ON CONFLICT (name) WHERE deleted_at = 0 DO NOTHING`,
		c.ARN, c.Name, document{c.Subnets}, document{c.SecurityGroups}, nanos(c.CreatedAt))
}

// VPCConnector returns a connector by its full ARN, also a deleted one.
func (tx *Tx) VPCConnector(arn string) (slipway.VPCConnector, error) {
	return one(tx, scanVPCConnector, `SELECT `+vpcConnectorColumns+` FROM vpc_connector WHERE arn = $1`, arn)
}

// VPCConnectors returns active connectors after the cursor (afterTime, afterARN),
// oldest first; limit 0 means all.
func (tx *Tx) VPCConnectors(afterTime time.Time, afterARN string, limit int) ([]slipway.VPCConnector, error) {
	return soundPage(tx, "VPC connector", limit, scanVPCConnector, `SELECT `+vpcConnectorColumns+` FROM vpc_connector WHERE deleted_at = 0
		AND (created_at > $1 OR (created_at = $1 AND arn > $2))
		ORDER BY created_at, arn LIMIT $3`, nanos(afterTime), afterARN)
}

// CountVPCConnectors counts the active connectors.
func (tx *Tx) CountVPCConnectors() (int, error) {
	return tx.count(`SELECT count(*) FROM vpc_connector WHERE deleted_at = 0`)
}

// DeleteVPCConnector makes a connector inactive, which frees its name.
func (tx *Tx) DeleteVPCConnector(arn string, now time.Time) error {
	return mustAffect(tx.exec(`UPDATE vpc_connector SET deleted_at = $1 WHERE arn = $2`, nanos(now), arn))
}

// ForgetVPCConnectors removes the connectors deleted before t, with their tags.
func (tx *Tx) ForgetVPCConnectors(t time.Time) error { return tx.forgetDeleted("vpc_connector", t) }
