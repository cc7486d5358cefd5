package store

import (
	"time"

	"github.com/openslipway/slipway"
)

const autoScalingColumns = configurationColumns + `, max_concurrency, min_size, max_size, is_default`

func scanAutoScaling(s scanner) (a slipway.AutoScaling, err error) {
	err = s.Scan(append(configurationFields(&a.Configuration),
		&a.Scaling.MaxConcurrency, &a.Scaling.MinSize, &a.Scaling.MaxSize, &a.Default)...)
	return a, err
}

// InsertAutoScaling adds a revision of a configuration. The caller chooses the
// revision number in the same transaction.
func (tx *Tx) InsertAutoScaling(a slipway.AutoScaling) error {
	return tx.insert("auto scaling configuration "+a.ARN, `INSERT INTO autoscaling (`+autoScalingColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		append(configurationValues(a.Configuration), a.Scaling.MaxConcurrency, a.Scaling.MinSize, a.Scaling.MaxSize, boolInt(a.Default))...)
}

// AutoScaling returns a revision by its full ARN, also a deleted one.
func (tx *Tx) AutoScaling(arn string) (slipway.AutoScaling, error) {
	return one(tx, scanAutoScaling, `SELECT `+autoScalingColumns+` FROM autoscaling WHERE arn = $1`, arn)
}

// DefaultAutoScaling returns the revision that new services use by default.
func (tx *Tx) DefaultAutoScaling() (slipway.AutoScaling, error) {
	return one(tx, scanAutoScaling, `SELECT `+autoScalingColumns+` FROM autoscaling WHERE is_default = 1`)
}

// AutoScalings returns active revisions: see activeRevisions.
func (tx *Tx) AutoScalings(name, afterName string, afterRevision int) ([]slipway.AutoScaling, error) {
	query, args := activeRevisions(autoScalingColumns, `autoscaling`, name, afterName, afterRevision)
	return all(tx, scanAutoScaling, query, args...)
}

// SaveAutoScaling writes the mutable fields of a: latest, default, active and the
// time of deletion.
func (tx *Tx) SaveAutoScaling(a slipway.AutoScaling) error {
	return mustAffect(tx.exec(`UPDATE autoscaling SET latest = $1, is_default = $2, active = $3, deleted_at = $4 WHERE arn = $5`,
		boolInt(a.Latest), boolInt(a.Default), boolInt(a.Active), nanos(a.DeletedAt), a.ARN))
}

// ForgetAutoScalings removes the revisions deleted before t, with their tags.
func (tx *Tx) ForgetAutoScalings(t time.Time) error { return tx.forgetDeleted("autoscaling", t) }
