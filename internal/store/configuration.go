package store

import "github.com/openslipway/slipway"

// configurationColumns are those that every table of revisions has.
const configurationColumns = `arn, name, revision, latest, active, created_at, deleted_at`

// activeRevisions selects the active revisions in a table, of one name or, when
// it is "", of all, by name and revision, after the cursor.
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
	return []any{c.ARN, c.Name, c.Revision, bit(c.Latest), bit(c.Active), nanos(c.CreatedAt), nanos(c.DeletedAt)}
}
