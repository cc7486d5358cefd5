package store

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway"
)

// PutAudit inserts a record, or replaces the record of this id and its resources.
func (tx *Tx) PutAudit(r slipway.AuditRecord) error {
	_, err := tx.exec(`INSERT INTO audit (id, at, name, source, username, key_id, record) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET record = excluded.record`,
		r.ID, nanos(r.At), r.Name, r.Source, r.User, r.KeyID, r.Record)
	if err != nil {
		return err
	}
	for _, res := range r.Resources {
		if _, err := tx.exec(`INSERT INTO audit_resource (audit_id, type, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			r.ID, res.Type, res.Name); err != nil {
			return err
		}
	}
	return nil
}

// AuditQuery selects records. An empty field selects all.
type AuditQuery struct {
	ID, Name, Source, User, KeyID string
	ResourceName, ResourceType    string
	ReadOnly                      string // "true" or "false"

	From, To time.Time // inclusive; zero for no bound

	// BeforeAt and BeforeID are the cursor: the last record of the previous page.
	BeforeAt time.Time
	BeforeID string

	Limit int
}

// Audit returns records, newest first.
func (tx *Tx) Audit(q AuditQuery) ([]slipway.AuditRecord, error) {
	where, args := []string{"1 = 1"}, []any{}
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	for _, c := range []struct{ condition, value string }{
		{"id = ", q.ID},
		{"name = ", q.Name},
		{"source = ", q.Source},
		{"username = ", q.User},
		{"key_id = ", q.KeyID},
		{"id IN (SELECT audit_id FROM audit_resource WHERE name = ", q.ResourceName},
		// A type may have many records: go through them from the newest.
		{"EXISTS (SELECT 1 FROM audit_resource WHERE audit_id = audit.id AND type = ", q.ResourceType},
	} {
		if c.value != "" {
			where = append(where, c.condition+arg(c.value)+strings.Repeat(")", strings.Count(c.condition, "(")))
		}
	}
	if q.ReadOnly != "" {
		where = append(where, "record LIKE "+arg(`%"readOnly":`+q.ReadOnly+`,%`))
	}
	if !q.From.IsZero() {
		where = append(where, "at >= "+arg(nanos(q.From)))
	}
	if !q.To.IsZero() {
		where = append(where, "at <= "+arg(nanos(q.To)))
	}
	if q.BeforeID != "" {
		at := arg(nanos(q.BeforeAt)) // one argument used twice, or SQLite does not use a range of the index
		where = append(where, "(at < "+at+" OR (at = "+at+" AND id < "+arg(q.BeforeID)+"))")
	}
	list, err := all(tx, func(s scanner) (r slipway.AuditRecord, err error) {
		err = s.Scan(&r.ID, instant{&r.At}, &r.Name, &r.Source, &r.User, &r.KeyID, &r.Record)
		return r, err
	}, `SELECT id, at, name, source, username, key_id, record FROM audit
		WHERE `+strings.Join(where, " AND ")+` ORDER BY at DESC, id DESC LIMIT `+arg(q.Limit), args...)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Resources, err = all(tx, func(s scanner) (r slipway.AuditResource, err error) {
			err = s.Scan(&r.Type, &r.Name)
			return r, err
		}, `SELECT type, name FROM audit_resource WHERE audit_id = $1 ORDER BY name`, list[i].ID)
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// ForgetAudit removes the records before a time.
func (tx *Tx) ForgetAudit(before time.Time) error { return tx.forgetAudit(`at < $1`, nanos(before)) }

// AuditCounts returns how many records each user has, "" for callers whom nobody knows.
func (tx *Tx) AuditCounts() (map[string]int, error) {
	type row struct {
		user string
		n    int
	}
	list, err := all(tx, func(s scanner) (r row, err error) { err = s.Scan(&r.user, &r.n); return r, err },
		`SELECT username, count(*) FROM audit GROUP BY username`)
	counts := map[string]int{}
	for _, r := range list {
		counts[r.user] = r.n
	}
	return counts, err
}

// ForgetAuditOf removes the oldest records of a user, so many.
func (tx *Tx) ForgetAuditOf(user string, n int) error {
	if n <= 0 {
		return nil
	}
	last, err := one(tx, func(s scanner) (r slipway.AuditRecord, err error) {
		err = s.Scan(instant{&r.At}, &r.ID)
		return r, err
	}, `SELECT at, id FROM audit WHERE username = $1 ORDER BY at, id LIMIT 1 OFFSET $2`, user, n-1)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.forgetAudit(`username = $1 AND (at < $2 OR at = $2 AND id <= $3)`, user, nanos(last.At), last.ID)
}

func (tx *Tx) forgetAudit(which string, args ...any) error {
	if _, err := tx.exec(`DELETE FROM audit_resource WHERE audit_id IN (SELECT id FROM audit WHERE `+which+`)`, args...); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM audit WHERE `+which, args...)
	return err
}
