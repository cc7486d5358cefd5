package api

import (
	"time"

	"github.com/openslipway/slipway/internal/page"
)

// listByAge returns one page of a list that is ordered by creation, then by id,
// and the token of the next page. read reads the entries after a creation and an
// id, at most limit; key returns those of an entry.
func listByAge[T any](p page.Pager, token *string,
	read func(at time.Time, id string, limit int) ([]T, error), key func(T) (time.Time, string),
) (list []T, next *string, err error) {
	at, id, err := p.AfterInstant(token)
	if err != nil {
		return nil, nil, err
	}
	if list, err = read(at, id, p.Limit()); err != nil {
		return nil, nil, err
	}
	list, next = page.Cut(p, list, func(v T) []string { return page.InstantKey(key(v)) })
	return list, next, nil
}
