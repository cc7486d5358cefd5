package store

import "github.com/openslipway/slipway"

func scanRepository(s scanner) (r slipway.Repository, err error) {
	var name string
	err = s.Scan(&name, document{&r}, instant{&r.CreatedAt})
	r.Name = name
	return r, err
}

// InsertRepository adds a repository. It returns ErrNameTaken if one of this name
// exists.
func (tx *Tx) InsertRepository(r slipway.Repository) error {
	return tx.insert("repository "+r.Name, `INSERT INTO repository (name, settings, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO NOTHING`, r.Name, document{r}, nanos(r.CreatedAt))
}

// PutRepository writes the settings of a repository, with or without a row.
func (tx *Tx) PutRepository(r slipway.Repository) error {
	_, err := tx.exec(`INSERT INTO repository (name, settings, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET settings = excluded.settings`, r.Name, document{r}, nanos(r.CreatedAt))
	return err
}

// Repository returns a repository that has a row.
func (tx *Tx) Repository(name string) (slipway.Repository, error) {
	return one(tx, scanRepository, `SELECT name, settings, created_at FROM repository WHERE name = $1`, name)
}

// Repositories returns the repositories that have a row, by name.
func (tx *Tx) Repositories() ([]slipway.Repository, error) {
	return sound(tx, "repository", scanRepository, `SELECT name, settings, created_at FROM repository ORDER BY name`)
}

// DeleteRepository removes a repository's row, if it has one, and its tags,
// which are those of arn.
func (tx *Tx) DeleteRepository(name, arn string) error {
	if err := tx.forgetARN(arn); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM repository WHERE name = $1`, name)
	return err
}
