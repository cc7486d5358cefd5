package api

import (
	"time"

	"github.com/openslipway/slipway/internal/page"
)

// listByAge returns one page of a list that is ordered by creation, then by id,
// and the token of the next page. read reads the entries after a creation and an
// id, at most limit; key returns those of an entry. shows says which entries are listed;
// nil for all.
func listByAge[T any](p page.Pager, token *string,
	read func(at time.Time, id string, limit int) ([]T, error), key func(T) (time.Time, string), shows func(T) (bool, error),
) (list []T, next *string, err error) {
	at, id, err := p.AfterInstant(token)
	if err != nil {
		return nil, nil, err
	}
	list, err = page.Fill(p, shows, func() ([]T, error) {
		batch, err := read(at, id, p.Limit())
		if len(batch) > 0 {
			at, id = key(batch[len(batch)-1])
		}
		return batch, err
	})
	if err != nil {
		return nil, nil, err
	}
	list, next = page.Cut(p, list, func(v T) []string { return page.InstantKey(key(v)) })
	return list, next, nil
}
