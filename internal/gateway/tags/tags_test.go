package tags_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/store"
)

func rules() tags.Rules {
	about := func(what string) func(slipway.Tag) error {
		return func(t slipway.Tag) error { return errors.New(what + " " + t.Key) }
	}
	return tags.Rules{
		Length: about("length"), Reserved: about("reserved"), Twice: about("twice"),
		Other: func(i int, t slipway.Tag) error {
			if t.Value == "bad" {
				return fmt.Errorf("other %d", i)
			}
			return nil
		},
		TooMany: func(n int) error { return fmt.Errorf("too many: %d", n) },
	}
}

func many(n int) (list []slipway.Tag) {
	for i := range n {
		list = append(list, slipway.Tag{Key: fmt.Sprint("k", i)})
	}
	return list
}

func TestCheck(t *testing.T) {
	t.Parallel()
	fold := rules()
	fold.FoldCase = true
	for name, c := range map[string]struct {
		rules tags.Rules
		list  []slipway.Tag
		want  string
	}{
		"none":                {rules(), nil, ""},
		"the longest":         {rules(), []slipway.Tag{{Key: strings.Repeat("ä", 128), Value: strings.Repeat("ä", 256)}}, ""},
		"no key":              {rules(), []slipway.Tag{{Value: "v"}}, "length "},
		"a long value":        {rules(), []slipway.Tag{{Key: "k", Value: strings.Repeat("v", 257)}}, "length k"},
		"a reserved key":      {rules(), []slipway.Tag{{Key: "aws:x"}}, "reserved aws:x"},
		"another rule":        {rules(), []slipway.Tag{{Key: "a"}, {Key: "b", Value: "bad"}}, "other 1"},
		"twice":               {rules(), []slipway.Tag{{Key: "a"}, {Key: "a"}}, "twice a"},
		"two letter cases":    {rules(), []slipway.Tag{{Key: "a"}, {Key: "A"}}, ""},
		"folded letter cases": {fold, []slipway.Tag{{Key: "a"}, {Key: "A"}}, "twice A"},
		"the most":            {rules(), many(tags.Max), ""},
		"too many":            {rules(), many(tags.Max + 1), "too many: 51"},
		"no rules":            {tags.Rules{}, []slipway.Tag{{}, {Key: "aws:x"}, {Key: "aws:x"}}, ""},
	} {
		got := ""
		if err := c.rules.Check(c.list); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What would be too many with the tags that a resource has is taken back whole.
func TestAdd(t *testing.T) {
	t.Parallel()
	b := gatewaytest.New(t)
	add := func(list []slipway.Tag) error {
		return b.Store.Update(t.Context(), func(tx *store.Tx) error { return rules().Add(tx, "arn", list) })
	}
	if err := add(many(tags.Max)); err != nil {
		t.Error(err)
	}
	if err := add([]slipway.Tag{{Key: "k0", Value: "new"}}); err != nil {
		t.Errorf("a new value: %v", err)
	}
	if err := add([]slipway.Tag{{Key: "k0", Value: "newer"}, {Key: "more"}}); err == nil || err.Error() != "too many: 51" {
		t.Errorf("one more: %v", err)
	}
	b.Update(func(tx *store.Tx) error {
		list, err := tx.Tags("arn")
		if len(list) != tags.Max || list[0] != (slipway.Tag{Key: "k0", Value: "new"}) {
			t.Errorf("%d tags, the first %v", len(list), list[0])
		}
		return err
	})
}

func TestConditionKeys(t *testing.T) {
	t.Parallel()
	c := tags.Set([]slipway.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}})
	keys, _ := c.Lookup("aws:TagKeys")
	a, _ := c.Lookup("aws:RequestTag/a")
	if !slices.Equal(keys, []string{"a", "b"}) || !slices.Equal(a, []string{"1"}) {
		t.Errorf("%v, %v", keys, a)
	}
	if keys, _ := tags.Removed([]string{"a"}).Lookup("aws:TagKeys"); !slices.Equal(keys, []string{"a"}) {
		t.Errorf("removed: %v", keys)
	}
	if _, ok := tags.Set(nil).Lookup("aws:TagKeys"); ok {
		t.Error("no tags have keys")
	}
}
