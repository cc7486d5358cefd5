package acme

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// plain seals nothing.
type plain struct{}

func (plain) Seal(_ string, secret []byte) []byte          { return secret }
func (plain) Open(_ string, sealed []byte) ([]byte, error) { return sealed, nil }

func newStorage(t *testing.T, s *store.Store, node string) *storage {
	t.Helper()
	st := &storage{store: s, vault: plain{}, node: node, now: time.Now}
	if err := st.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	return st
}

// Keys form folders, as certmagic wants it.
func TestStorage(t *testing.T) {
	t.Parallel()
	s := storetest.Memory(t)
	defer s.Close()
	st, ctx := newStorage(t, s, "node"), context.Background()
	if _, err := st.List(ctx, "certificates", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	for _, key := range []string{"a/b/one", "a/b/two", "a/bc", "a/c", "b"} {
		if err := st.Store(ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		all  bool
		want []string
	}{
		{"a", true, []string{"a/b/one", "a/b/two", "a/bc", "a/c"}},
		{"a", false, []string{"a/b", "a/bc", "a/c"}},
		{"a/b", false, []string{"a/b/one", "a/b/two"}},
		{"", false, []string{"a", "b"}},
	} {
		if got, err := st.List(ctx, c.path, c.all); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("List(%q, %t) = %q, %v; want %q", c.path, c.all, got, err, c.want)
		}
	}
	if i, err := st.Stat(ctx, "a/b"); err != nil || i.IsTerminal {
		t.Errorf("a folder: %+v, %v", i, err)
	}
	if i, err := st.Stat(ctx, "a/b/one"); err != nil || !i.IsTerminal || i.Modified.IsZero() {
		t.Errorf("an item: %+v, %v", i, err)
	}
	if _, err := st.Load(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a folder: %v", err)
	}
	if err := errors.Join(st.Delete(ctx, "a/b"), st.Delete(ctx, "nothing")); err != nil {
		t.Error(err)
	}
	if got, err := st.List(ctx, "a", true); err != nil || !slices.Equal(got, []string{"a/bc", "a/c"}) {
		t.Errorf("after deleting a/b: %q, %v", got, err)
	}
}

// A lock has one holder, of this process or another, for as long as it wants. That of a
// process that has died is free after a while, and at once for its next one.
func TestLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := storetest.Memory(t)
		defer s.Close()
		one, other := newStorage(t, s, "one"), newStorage(t, s, "other")
		tries := func(st *storage, limit time.Duration) (after time.Duration, err error) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			begun := time.Now()
			err = st.Lock(ctx, "x")
			return time.Since(begun), err
		}
		if _, err := tries(one, time.Second); err != nil {
			t.Fatal(err)
		}
		for _, st := range []*storage{one, other} {
			if after, err := tries(st, 10*time.Minute); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a second holder after %v: %v", after, err)
			}
		}
		if err := one.Unlock(context.Background(), "x"); err != nil {
			t.Fatal(err)
		}
		if after, err := tries(other, time.Minute); err != nil || after != 0 {
			t.Errorf("a lock that is free: %v after %v", err, after)
		}
		dead := other.locks["x"]
		dead.stop() // it gives no further signs, as if its process had died
		<-dead.ended
		if after, err := tries(one, time.Hour); err != nil || after < lockSilent || after > 2*lockSilent {
			t.Errorf("the lock of the dead: %v after %v", err, after)
		}
		mine := one.locks["x"]
		mine.stop()
		<-mine.ended
		next := newStorage(t, s, "one")
		if after, err := tries(next, time.Minute); err != nil || after != 0 {
			t.Errorf("its own process before: %v after %v", err, after)
		}
		if err := next.Unlock(context.Background(), "x"); err != nil {
			t.Fatal(err)
		}
	})
}
