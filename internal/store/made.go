package store

// Made are the things of a kind that a user has made.
type Made struct {
	Living int   // those that are not deleted; of configurations with revisions, their names
	Kept   int   // and those that were, and can still be described
	Bytes  int64 // of all values
}

// livings count what a user made and did not delete, by the table of the kind, where
// deleted rows are kept for a while.
var livings = map[string]string{
	"service":       `count(*) FROM service t`,
	"vpc_connector": `count(*) FROM vpc_connector t`,
	"autoscaling":   `count(DISTINCT t.name) FROM autoscaling t`,
	"observability": `count(DISTINCT t.name) FROM observability t`,
}

// Made counts what a user has made of a kind, which is named as the table of its rows.
func (tx *Tx) Made(kind, userID string) (m Made, err error) {
	m, err = one(tx, func(s scanner) (m Made, err error) { err = s.Scan(&m.Kept, &m.Bytes); return m, err },
		`SELECT count(*), COALESCE(sum(bytes), 0) FROM made WHERE user_id = $1 AND kind = $2`, userID, kind)
	m.Living = m.Kept
	if living, ok := livings[kind]; ok && err == nil {
		m.Living, err = tx.count(`SELECT `+living+` JOIN made m ON m.arn = t.arn WHERE m.user_id = $1 AND m.kind = $2 AND t.deleted_at = 0`, userID, kind)
	}
	return m, err
}

// SetMaker notes who made a thing. The note ends with the thing's row.
func (tx *Tx) SetMaker(arn, kind, userID string) error {
	_, err := tx.exec(`INSERT INTO made (arn, kind, user_id, bytes) VALUES ($1, $2, $3, 0)
		ON CONFLICT (arn) DO UPDATE SET kind = excluded.kind, user_id = excluded.user_id, bytes = 0`, arn, kind, userID)
	return err
}

// Maker returns who made a thing, and the bytes that its values take. It returns
// ErrNotFound for a thing of root.
func (tx *Tx) Maker(arn string) (userID string, bytes int64, err error) {
	m, err := one(tx, func(s scanner) (m struct {
		user  string
		bytes int64
	}, err error,
	) {
		err = s.Scan(&m.user, &m.bytes)
		return m, err
	}, `SELECT user_id, bytes FROM made WHERE arn = $1`, arn)
	return m.user, m.bytes, err
}

// SetMadeBytes writes the bytes that the values of a thing take.
func (tx *Tx) SetMadeBytes(arn string, bytes int64) error {
	_, err := tx.exec(`UPDATE made SET bytes = $1 WHERE arn = $2`, bytes, arn)
	return err
}

// forgetARN removes what is kept of a thing by its ARN: its tags, and who made it.
func (tx *Tx) forgetARN(arn string) error {
	if _, err := tx.exec(`DELETE FROM tag WHERE arn = $1`, arn); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM made WHERE arn = $1`, arn)
	return err
}
