package store

// Seed returns the random text of this name. It stores fresh if there is none.
func (tx *Tx) Seed(name, fresh string) (string, error) {
	if _, err := tx.exec(`INSERT INTO seed (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, fresh); err != nil {
		return "", err
	}
	return one(tx, scanValue[string], `SELECT value FROM seed WHERE name = $1`, name)
}

// DatabaseID returns the id of the database, by which its data directory knows it. It stores
// fresh if there is none. See Identify.
func (tx *Tx) DatabaseID(fresh string) (string, error) { return tx.Seed(databaseID, fresh) }
