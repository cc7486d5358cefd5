package store

import (
	"strings"
	"time"

	"github.com/openslipway/slipway"
)

// Tags returns a resource's tags in the order they were first set.
func (tx *Tx) Tags(arn string) ([]slipway.Tag, error) {
	return all(tx, func(s scanner) (t slipway.Tag, err error) { err = s.Scan(&t.Key, &t.Value); return },
		`SELECT key, value FROM tag WHERE arn = $1 ORDER BY position, key`, arn)
}

// SetTags adds the tags or overwrites their values. It refuses keys of one resource that
// differ only in letter case: policies take them for the same key.
func (tx *Tx) SetTags(arn string, tags []slipway.Tag) error {
	for _, t := range tags {
		if _, err := tx.exec(`INSERT INTO tag (arn, key, value, position)
			VALUES ($1, $2, $3, (SELECT COALESCE(max(position), 0) + 1 FROM tag WHERE arn = $1))
			ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value`, arn, t.Key, t.Value); err != nil {
			return err
		}
	}
	all, err := tx.Tags(arn)
	if err != nil {
		return err
	}
	seen := map[string]string{}
	for _, t := range all {
		folded := strings.ToLower(t.Key)
		if other, ok := seen[folded]; ok {
			return slipway.Errorf(slipway.InvalidRequest, "Tags: the keys %q and %q differ only in letter case, and policies take them for the same key. Remove one of them first.", other, t.Key)
		}
		seen[folded] = t.Key
	}
	return tx.touchTagged(arn)
}

// touchTagged records that the settings of a service may have changed, if the ARN is that
// of one: its router reads them.
func (tx *Tx) touchTagged(arn string) error {
	ids, err := all(tx, func(s scanner) (id string, err error) { err = s.Scan(&id); return },
		`SELECT id FROM service WHERE arn = $1`, arn)
	for _, id := range ids {
		tx.touch(id, Routes)
	}
	return err
}

// DeleteTags removes the tags with these keys. It ignores missing keys.
func (tx *Tx) DeleteTags(arn string, keys []string) error {
	for _, k := range keys {
		if _, err := tx.exec(`DELETE FROM tag WHERE arn = $1 AND key = $2`, arn, k); err != nil {
			return err
		}
	}
	return tx.touchTagged(arn)
}

// CountTags counts a resource's tags.
func (tx *Tx) CountTags(arn string) (int, error) {
	return tx.count(`SELECT count(*) FROM tag WHERE arn = $1`, arn)
}

// forgetDeleted removes the rows of a table whose time of deletion is before t,
// their tags, and who made them.
func (tx *Tx) forgetDeleted(table string, t time.Time) error {
	const old = ` WHERE deleted_at <> 0 AND deleted_at < $1`
	for _, about := range []string{"tag", "made"} {
		if _, err := tx.exec(`DELETE FROM `+about+` WHERE arn IN (SELECT arn FROM `+table+old+`)`, nanos(t)); err != nil {
			return err
		}
	}
	_, err := tx.exec(`DELETE FROM `+table+old, nanos(t))
	return err
}
