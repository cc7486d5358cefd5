package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Identity is what a file says of the database in it.
type Identity struct {
	Exists bool   // it has tables
	ID     string // of the database; "" if it has none: it is of an earlier version, or just being made
	Lack   string // why it does not exist, as the end of a sentence about the file
}

// databaseID is the name of the seed that is the database's id.
const databaseID = "database"

// Identify reads the identity of the database at path. It makes no file and no table, and
// does not have SQLite open a file without content, whose journal SQLite would remove. A
// database of another program is an error.
func Identify(ctx context.Context, path string) (Identity, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Identity{Lack: "is missing"}, nil
	case err != nil:
		return Identity{}, fmt.Errorf("look at the database: %w", err)
	case !info.Mode().IsRegular():
		return Identity{}, fmt.Errorf("the database %s is no file", path)
	case info.Size() == 0:
		return Identity{Lack: "is empty"}, nil
	}
	db, err := openExisting(path)
	if err != nil {
		return Identity{}, err
	}
	defer db.Close()
	tables, err := tableNames(ctx, db)
	switch {
	case err != nil:
		return Identity{}, fmt.Errorf("read the database %s: %w", path, wrapDamaged(err))
	case len(tables) == 0:
		return Identity{Lack: "has no tables"}, nil
	case !slices.Contains(tables, "goose_db_version"):
		return Identity{}, fmt.Errorf("the database %s is another program's: put the one of this server there, or name another --data-dir", path)
	case !slices.Contains(tables, "seed"):
		return Identity{Exists: true}, nil
	}
	found := Identity{Exists: true}
	err = db.QueryRowContext(ctx, `SELECT value FROM seed WHERE name = $1`, databaseID).Scan(&found.ID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Identity{}, fmt.Errorf("read the id of the database %s: %w", path, wrapDamaged(err))
	}
	return found, nil
}

// tableNames returns the names of a database's tables.
func tableNames(ctx context.Context, db *sql.DB) (list []string, err error) {
	rows, err := db.QueryContext(ctx, `PRAGMA table_list`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var schema, name, kind, columns, rowid, strict string
		if err := rows.Scan(&schema, &name, &kind, &columns, &rowid, &strict); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(name, "sqlite_") {
			list = append(list, name)
		}
	}
	return list, rows.Err()
}
