package store_test

import (
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Policies fold the letter case of tag keys, so a resource has no two keys that they take
// for one, whether they come in one call or in two.
func TestTagsFoldCase(t *testing.T) {
	t.Parallel()
	s := open(t)
	set := func(tags ...slipway.Tag) error {
		return s.Update(t.Context(), func(tx *store.Tx) error { return tx.SetTags("arn", tags) })
	}
	if err := set(slipway.Tag{Key: "owner", Value: "ann"}, slipway.Tag{Key: "stage", Value: "test"}); err != nil {
		t.Fatal(err)
	}
	for _, tags := range [][]slipway.Tag{
		{{Key: "Owner", Value: "bob"}},
		{{Key: "new", Value: "1"}, {Key: "NEW", Value: "2"}},
	} {
		if err := set(tags...); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%v: %v", tags, err)
		}
	}
	if err := set(slipway.Tag{Key: "owner", Value: "eve"}); err != nil {
		t.Error(err)
	}
	update(t, s, func(tx *store.Tx) error {
		if n, err := tx.CountTags("arn"); err != nil || n != 2 {
			t.Errorf("%d tags, %v", n, err)
		}
		return nil
	})
}
