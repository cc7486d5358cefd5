package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"

	"github.com/openslipway/slipway"
)

// ErrNewer is wrapped by the error about a database that a newer program has migrated.
var ErrNewer = errors.New("the database is newer than this program")

// ErrDamaged is wrapped by errors about a file that SQLite can't read as a database.
var ErrDamaged = errors.New("the database is damaged")

// Schema returns the version of the tables that this program makes.
func Schema() (int64, error) {
	p, err := provider(nil)
	if err != nil {
		return 0, err
	}
	return newest(p), nil
}

func newest(p *goose.Provider) (version int64) {
	for _, s := range p.ListSources() {
		version = max(version, s.Version)
	}
	return version
}

// refuseNewer refuses a database that a newer program has migrated: this one would
// read and write columns whose meaning it does not know.
func refuseNewer(ctx context.Context, p *goose.Provider) error {
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	return checkVersion(has, newest(p))
}

func checkVersion(has, knows int64) error {
	if has <= knows {
		return nil
	}
	return fmt.Errorf("%w: its tables have version %d, and this slipway knows versions up to %d. "+
		"Start the newer slipway again, or restore a backup that this one can read into another --data-dir (slipway restore)", ErrNewer, has, knows)
}

// Copy writes a copy of the database at path to a new file, as it is at one moment,
// also while a server uses it, and returns the version of its tables.
func Copy(ctx context.Context, path, to string) (version int64, err error) {
	if err := copyTo(ctx, path, to); err != nil {
		return 0, err
	}
	if version, err = Verify(ctx, to); err != nil {
		return 0, err
	}
	knows, err := Schema()
	if err != nil {
		return 0, err
	}
	return version, checkVersion(version, knows)
}

// copyTo is Copy without a look at the versions of the tables and at the copy.
func copyTo(ctx context.Context, path, to string) error {
	db, err := openExisting(path)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, to); err != nil {
		return fmt.Errorf("copy the database %s: %w", path, wrapDamaged(err))
	}
	return nil
}

// Foresee reports whether Open would migrate the database at path, which a server may be
// using. The error wraps ErrNewer if Open would refuse it.
func Foresee(ctx context.Context, path string) (migrates bool, err error) {
	db, err := openExisting(path)
	if err != nil {
		return false, err
	}
	defer db.Close()
	p, err := provider(db)
	if err != nil {
		return false, err
	}
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return false, wrapDamaged(err)
	}
	return has < newest(p), checkVersion(has, newest(p))
}

// ReadDataKeys returns the data keys in a database file of any older version, the oldest
// first.
func ReadDataKeys(ctx context.Context, path string) (list []slipway.DataKey, err error) {
	db, err := openExisting(path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var columns string
	if err := db.QueryRowContext(ctx, `PRAGMA table_info(data_key)`).Scan(&columns); errors.Is(err, sql.ErrNoRows) {
		return nil, nil // older than data keys
	}
	rows, err := db.QueryContext(ctx, `SELECT `+dataKeyColumns+` FROM data_key ORDER BY created_at, id`)
	if err != nil {
		return nil, wrapDamaged(err)
	}
	defer rows.Close()
	for rows.Next() {
		k, err := scanDataKey(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

// Verify reads all of a database file and returns the version of its tables.
func Verify(ctx context.Context, path string) (version int64, err error) {
	db, err := openExisting(path)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return 0, fmt.Errorf("check the database %s: %w", path, wrapDamaged(err))
	}
	if verdict != "ok" {
		return 0, fmt.Errorf("check the database %s: %w: %s", path, ErrDamaged, verdict)
	}
	p, err := provider(db)
	if err != nil {
		return 0, err
	}
	return p.GetDBVersion(ctx)
}

func openExisting(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database %s", path)
	} else if err != nil {
		return nil, err
	}
	return sql.Open(driverName, dsn(path))
}
