package store

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

const autoScalingColumns = `arn, name, revision, max_concurrency, min_size, max_size, latest, is_default, active, created_at, deleted_at`

func scanAutoScaling(s scanner) (a slipway.AutoScaling, err error) {
	err = s.Scan(&a.ARN, &a.Name, &a.Revision, &a.Scaling.MaxConcurrency, &a.Scaling.MinSize, &a.Scaling.MaxSize,
		&a.Latest, &a.Default, &a.Active, instant{&a.CreatedAt}, instant{&a.DeletedAt})
	return a, err
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// InsertAutoScaling adds a revision of a configuration. The caller has chosen
// the revision number in this transaction.
func (tx *Tx) InsertAutoScaling(a slipway.AutoScaling) error {
	_, err := tx.exec(`INSERT INTO autoscaling (`+autoScalingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		a.ARN, a.Name, a.Revision, a.Scaling.MaxConcurrency, a.Scaling.MinSize, a.Scaling.MaxSize,
		bit(a.Latest), bit(a.Default), bit(a.Active), nanos(a.CreatedAt), nanos(a.DeletedAt))
	if err != nil {
		return fmt.Errorf("insert auto scaling configuration %s: %w", a.ARN, err)
	}
	return nil
}

// AutoScaling returns a revision by its full ARN, deleted ones too.
func (tx *Tx) AutoScaling(arn string) (slipway.AutoScaling, error) {
	return one(tx, scanAutoScaling, `SELECT `+autoScalingColumns+` FROM autoscaling WHERE arn = $1`, arn)
}

// DefaultAutoScaling returns the revision that new services get.
func (tx *Tx) DefaultAutoScaling() (slipway.AutoScaling, error) {
	return one(tx, scanAutoScaling, `SELECT `+autoScalingColumns+` FROM autoscaling WHERE is_default = 1`)
}

// AutoScalings returns the active revisions of the name, or of all names when
// it is "", by name and revision, after the cursor (afterName, afterRevision);
// limit 0 means all.
func (tx *Tx) AutoScalings(name, afterName string, afterRevision, limit int) ([]slipway.AutoScaling, error) {
	if limit == 0 {
		limit = -1
	}
	return all(tx, scanAutoScaling, `SELECT `+autoScalingColumns+` FROM autoscaling WHERE active = 1
		AND ($1 = '' OR name = $1) AND (name > $2 OR (name = $2 AND revision > $3))
		ORDER BY name, revision LIMIT $4`, name, afterName, afterRevision, limit)
}

// SaveAutoScaling writes the members of a that change: latest, default, active
// and the time of deletion.
func (tx *Tx) SaveAutoScaling(a slipway.AutoScaling) error {
	return mustAffect(tx.exec(`UPDATE autoscaling SET latest = $1, is_default = $2, active = $3, deleted_at = $4 WHERE arn = $5`,
		bit(a.Latest), bit(a.Default), bit(a.Active), nanos(a.DeletedAt), a.ARN))
}

// AutoScalingInUse reports whether a service that is not deleted, or the
// specification a live operation is to deploy, names the configuration.
func (tx *Tx) AutoScalingInUse(arn string) (bool, error) {
	n, err := tx.count(`SELECT (SELECT count(*) FROM service WHERE autoscaling_arn = $1 AND deleted_at = 0)
		+ (SELECT count(*) FROM operation WHERE autoscaling_arn = $1
			AND status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS'))`, arn)
	return n > 0, err
}

// ForgetAutoScalings removes the revisions deleted before t, with their tags.
func (tx *Tx) ForgetAutoScalings(t time.Time) error {
	const old = `active = 0 AND deleted_at <> 0 AND deleted_at < $1`
	if _, err := tx.exec(`DELETE FROM tag WHERE arn IN (SELECT arn FROM autoscaling WHERE `+old+`)`, nanos(t)); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM autoscaling WHERE `+old, nanos(t))
	return err
}
