package store

import (
	"strconv"
	"time"

	"github.com/openslipway/slipway"
)

const vpcIngressColumns = `arn, name, service_id, label, vpc, endpoint, version, removed_at, seen, failure, serving,
	available, created_at, deleted_at`

func scanVPCIngress(s scanner) (c slipway.VPCIngressConnection, err error) {
	err = s.Scan(&c.ARN, &c.Name, &c.ServiceID, &c.Label, &c.VPC, &c.Endpoint, &c.Version, instant{&c.RemovedAt},
		&c.Seen, &c.Failure, &c.Serving, &c.Available, instant{&c.CreatedAt}, instant{&c.DeletedAt})
	return c, err
}

// InsertVPCIngress adds a connection with no observed state. It returns
// ErrNameTaken if one of this name exists that is not deleted.
func (tx *Tx) InsertVPCIngress(c slipway.VPCIngressConnection) error {
	err := tx.insert("VPC ingress connection "+c.ARN, `INSERT INTO vpc_ingress_connection (`+vpcIngressColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, '', '', 0, $8, 0) ON CONFLICT (name) WHERE deleted_at = 0 DO NOTHING`,
		c.ARN, c.Name, c.ServiceID, c.Label, c.VPC, c.Endpoint, c.Version, nanos(c.CreatedAt))
	if err != nil {
		return err
	}
	tx.touch(c.ServiceID, Ingresses|Routes)
	return nil
}

// VPCIngress returns a connection by its ARN, also a deleted one.
func (tx *Tx) VPCIngress(arn string) (slipway.VPCIngressConnection, error) {
	return one(tx, scanVPCIngress, `SELECT `+vpcIngressColumns+` FROM vpc_ingress_connection WHERE arn = $1`, arn)
}

// VPCIngressesOf returns a service's connections that are not deleted, oldest
// first.
func (tx *Tx) VPCIngressesOf(serviceID string) ([]slipway.VPCIngressConnection, error) {
	return all(tx, scanVPCIngress, `SELECT `+vpcIngressColumns+` FROM vpc_ingress_connection
		WHERE service_id = $1 AND deleted_at = 0 ORDER BY created_at, arn`, serviceID)
}

// VPCIngresses returns connections that are not deleted after the cursor
// (afterTime, afterARN), oldest first; limit 0 means all. A serviceID or endpoint
// that is not "" selects its connections.
func (tx *Tx) VPCIngresses(serviceID, endpoint string, afterTime time.Time, afterARN string, limit int) ([]slipway.VPCIngressConnection, error) {
	args := []any{nanos(afterTime), afterARN, atMost(limit)}
	where := `deleted_at = 0 AND (created_at > $1 OR (created_at = $1 AND arn > $2))`
	for _, c := range []struct{ column, value string }{{`service_id`, serviceID}, {`endpoint`, endpoint}} {
		if c.value != "" {
			args = append(args, c.value)
			where += ` AND ` + c.column + ` = $` + strconv.Itoa(len(args))
		}
	}
	return all(tx, scanVPCIngress, `SELECT `+vpcIngressColumns+` FROM vpc_ingress_connection
		WHERE `+where+` ORDER BY created_at, arn LIMIT $3`, args...)
}

// SaveVPCIngressIntent writes the desired state of a connection: VPC, Endpoint,
// Version and RemovedAt.
func (tx *Tx) SaveVPCIngressIntent(c slipway.VPCIngressConnection) error {
	tx.touch(c.ServiceID, Ingresses|Routes)
	return mustAffect(tx.exec(`UPDATE vpc_ingress_connection SET vpc = $1, endpoint = $2, version = $3, removed_at = $4 WHERE arn = $5`,
		c.VPC, c.Endpoint, c.Version, nanos(c.RemovedAt), c.ARN))
}

// SaveVPCIngressState writes the observed state of a connection: Seen, Failure,
// Serving, Available and DeletedAt, which frees its name.
func (tx *Tx) SaveVPCIngressState(c slipway.VPCIngressConnection) error {
	tx.touch(c.ServiceID, Routes)
	return mustAffect(tx.exec(`UPDATE vpc_ingress_connection SET seen = $1, failure = $2, serving = $3, available = $4, deleted_at = $5
		WHERE arn = $6`, c.Seen, c.Failure, c.Serving, boolInt(c.Available), nanos(c.DeletedAt), c.ARN))
}

// ForgetVPCIngresses removes the connections deleted before t, with their tags.
func (tx *Tx) ForgetVPCIngresses(t time.Time) error {
	return tx.forgetDeleted("vpc_ingress_connection", t)
}
