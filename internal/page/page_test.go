package page_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/page"
)

// Entries that are added and removed while a list is read neither repeat nor
// hide others.
func TestPages(t *testing.T) {
	t.Parallel()
	list := []int{1, 2, 3, 4, 5, 6, 7}
	size := int32(2)
	p := page.New(&size, "List", "a")
	var got []int
	var next *string
	for {
		key, err := p.After(next, 1)
		if err != nil {
			t.Fatal(err)
		}
		after, _ := strconv.Atoi(key[0])
		var read []int
		for _, v := range list {
			if v > after && len(read) < p.Limit() {
				read = append(read, v)
			}
		}
		read, next = page.Cut(p, read, func(v int) []string { return []string{strconv.Itoa(v)} })
		got = append(got, read...)
		if next == nil {
			break
		}
		last := got[len(got)-1]
		list = slices.DeleteFunc(list, func(v int) bool { return v == last })
		if last == 2 {
			list = append(list, 8)
		}
	}
	if want := []int{1, 2, 3, 4, 5, 6, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTokensAreBound(t *testing.T) {
	t.Parallel()
	token := page.New(nil, "List", "a").Token("1")
	for name, p := range map[string]page.Pager{
		"operation":  page.New(nil, "Other", "a"),
		"parameters": page.New(nil, "List", "b"),
		"borders":    page.New(nil, "Lista"),
	} {
		if _, err := p.After(token, 1); !errors.Is(err, page.ErrToken) {
			t.Errorf("a token of another list (%s) is taken: %v", name, err)
		}
	}
	if _, err := page.New(nil, "List", "a").After(token, 2); !errors.Is(err, page.ErrToken) {
		t.Errorf("a key with too few parts is taken: %v", err)
	}
}

func TestInstantKey(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 2).UTC()
	if got, id, err := page.ParseInstantKey(page.InstantKey(at, "x")); err != nil || !got.Equal(at) || id != "x" {
		t.Errorf("%v %q %v", got, id, err)
	}
	for _, key := range [][]string{{"x", "y"}, {"-1", "y"}, {"99999999999999999999", "y"}} {
		if _, _, err := page.ParseInstantKey(key); !errors.Is(err, page.ErrToken) {
			t.Errorf("%v is taken: %v", key, err)
		}
	}
}
