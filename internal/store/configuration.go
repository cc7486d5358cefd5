package store

import "github.com/openslipway/slipway"

// configurationColumns are those that every table of revisions has.
const configurationColumns = `arn, name, revision, latest, active, created_at, deleted_at`

// activeRevisions selects the active revisions of the name $1, or of all names
// when it is "", by name and revision, after the cursor ($2, $3).
const activeRevisions = `WHERE active = 1 AND ($1 = '' OR name = $1)
	AND (name > $2 OR (name = $2 AND revision > $3)) ORDER BY name, revision`

func configurationFields(c *slipway.Configuration) []any {
	return []any{&c.ARN, &c.Name, &c.Revision, &c.Latest, &c.Active, instant{&c.CreatedAt}, instant{&c.DeletedAt}}
}

func configurationValues(c slipway.Configuration) []any {
	return []any{c.ARN, c.Name, c.Revision, bit(c.Latest), bit(c.Active), nanos(c.CreatedAt), nanos(c.DeletedAt)}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
