package store

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// ErrDamagedRow is wrapped by methods that read a row of which a column does not parse: a JSON
// document or ciphertext. The rest of the database can be read.
var ErrDamagedRow = errors.New("a row of the database is damaged")

// damage tells of damaged rows that lists pass over, of each once.
type damage struct {
	mu   sync.Mutex // guards what follows
	told map[string]bool
	tell func(row string, err error)
}

// maxTold bounds what is remembered; rows are then told of again.
const maxTold = 1000

func (d *damage) passedOver(row string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told[row] || d.tell == nil {
		return
	}
	if d.told == nil || len(d.told) >= maxTold {
		d.told = map[string]bool{}
	}
	d.told[row] = true
	d.tell(row, err)
}

// lenient scans a column and notes an error in place of returning it.
type lenient struct {
	to      sql.Scanner
	damaged *string
}

func (l lenient) Scan(v any) error {
	if err := l.to.Scan(v); err != nil {
		*l.damaged = err.Error()
	}
	return nil
}

// OnDamage has tell called with each damaged row that is passed over, once.
func (s *Store) OnDamage(tell func(row string, err error)) {
	s.damage.mu.Lock()
	defer s.damage.mu.Unlock()
	s.damage.tell = tell
}

// PassOver returns nil for an ErrDamagedRow, which is told of once, and other errors as they are:
// loops over services go on with the next one. Nothing may be ended or removed for a row that
// is passed over.
func (tx *Tx) PassOver(row string, err error) error {
	if !errors.Is(err, ErrDamagedRow) {
		return err
	}
	tx.damage.passedOver(row, err)
	return nil
}

// sound is all without the rows that are damaged. It is for lists that people look at and
// for loops that go on with the other rows, never for what removes what is not listed. The
// first column identifies a row of the kind.
func sound[T any](tx *Tx, kind string, scan func(scanner) (T, error), query string, args ...any) (list []T, err error) {
	list, _, err = soundRows(tx, kind, scan, query, args...)
	return list, err
}

// soundPage is sound with a limit as the query's last argument: of the rows that are not
// damaged. 0 is none.
func soundPage[T any](tx *Tx, kind string, limit int, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	page := func(most int) ([]T, int, error) {
		return soundRows(tx, kind, scan, query, append(args[:len(args):len(args)], atMost(most))...)
	}
	list, damaged, err := page(limit)
	if err == nil && damaged > 0 && limit > 0 {
		list, _, err = page(0)
	}
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list, err
}

func soundRows[T any](tx *Tx, kind string, scan func(scanner) (T, error), query string, args ...any) (list []T, damaged int, err error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, 0, err
	}
	for rows.Next() {
		v, err := scan(rows)
		if err == nil {
			list = append(list, v)
			continue
		}
		damaged++
		tx.damage.passedOver(kind+" "+firstColumn(rows, len(columns)), err)
	}
	return list, damaged, rows.Err()
}

// firstColumn returns the first of n columns of the current row.
func firstColumn(rows *sql.Rows, n int) string {
	columns := make([]any, n)
	for i := range columns {
		columns[i] = new(any)
	}
	if err := rows.Scan(columns...); err != nil {
		return "?"
	}
	return fmt.Sprint(*columns[0].(*any))
}
