package store

import "github.com/openslipway/slipway"

// configurationColumns are the columns that all tables of revisions have.
const configurationColumns = `arn, name, revision, latest, active, created_at, deleted_at`

// activeRevisions selects active revisions of a table after the cursor, by name
// and revision. An empty name selects all names.
func activeRevisions(columns, table, name, afterName string, afterRevision int) (query string, args []any) {
	query = `SELECT ` + columns + ` FROM ` + table + ` WHERE active = 1 AND `
	if name != "" {
		return query + `name = $1 AND revision > $2 ORDER BY revision`, []any{name, afterRevision}
	}
	return query + `(name > $1 OR (name = $1 AND revision > $2)) ORDER BY name, revision`, []any{afterName, afterRevision}
}

func configurationFields(c *slipway.Configuration) []any {
	return []any{&c.ARN, &c.Name, &c.Revision, &c.Latest, &c.Active, instant{&c.CreatedAt}, instant{&c.DeletedAt}}
}

func configurationValues(c slipway.Configuration) []any {
	return []any{c.ARN, c.Name, c.Revision, boolInt(c.Latest), boolInt(c.Active), nanos(c.CreatedAt), nanos(c.DeletedAt)}
}
