package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

func customDomain(name string, www bool, due time.Duration) slipway.CustomDomain {
	return slipway.CustomDomain{
		ID: name, ServiceID: "shop", Name: name, WWW: www, CreatedAt: t0, State: slipway.DomainCreating, Since: t0, DueAt: t0.Add(due),
		Records: []slipway.ValidationRecord{{Name: "_a." + name + ".", Value: "_b.", Status: slipway.RecordPending}},
	}
}

func TestCustomDomainRoundTrip(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := customDomain("Example.com", true, 0)
	update(t, s, func(tx *store.Tx) error { return tx.InsertCustomDomain(d) })
	update(t, s, func(tx *store.Tx) error {
		for _, host := range []string{"example.com", "www.example.com"} {
			got, err := tx.OtherCustomDomain("shop", host)
			if diff := cmp.Diff(d, got); diff != "" || err != nil {
				t.Errorf("%s: %v\n%s", host, err, diff)
			}
		}
		for name, service := range map[string]string{"www.example.com": "shop", "example.com": "blog", "example.net": "shop"} {
			if _, err := tx.CustomDomain(service, name); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s of %s: %v, want ErrNotFound", name, service, err)
			}
		}
		_, err := tx.CustomDomain("shop", "EXAMPLE.COM")
		return err
	})
	insert := func(service string, d slipway.CustomDomain) error {
		d.ServiceID, d.ID = service, service+" "+d.Name
		return s.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertCustomDomain(d) })
	}
	www, root := customDomain("WWW.example.com", false, 0), customDomain("example.COM", false, 0)
	for _, taken := range []slipway.CustomDomain{www, root} {
		if err := insert("shop", taken); !errors.Is(err, store.ErrHostTaken) {
			t.Errorf("%s: %v, want ErrHostTaken", taken.Name, err)
		}
	}
	// Another service may claim what is not proved, until it is.
	if err := insert("blog", www); err != nil {
		t.Fatal(err)
	}
	www.ServiceID, www.ID = "blog", "blog "+www.Name
	update(t, s, func(tx *store.Tx) error {
		if rivals, err := tx.Rivals(d); err != nil || len(rivals) != 1 || rivals[0].ServiceID != "blog" {
			t.Errorf("rivals %v, %v", rivals, err)
		}
		return tx.HoldHosts(d)
	})
	for _, c := range []func() error{
		func() error { return insert("cart", www) },
		func() error { return insert("cart", root) },
		func() error {
			return s.Update(t.Context(), func(tx *store.Tx) error { return tx.HoldHosts(www) })
		},
	} {
		if err := c(); !errors.Is(err, store.ErrHostTaken) {
			t.Errorf("%v, want ErrHostTaken", err)
		}
	}
	update(t, s, func(tx *store.Tx) error { return tx.DeleteCustomDomain(d) })
	update(t, s, func(tx *store.Tx) error { return tx.InsertCustomDomain(customDomain("www.example.com", false, 0)) })
}

// Domains that wait for DNS are listed apart from the others, both in the order in
// which they are due.
func TestDueCustomDomains(t *testing.T) {
	t.Parallel()
	s := open(t)
	update(t, s, func(tx *store.Tx) error {
		for name, d := range map[string]struct {
			due   time.Duration
			state slipway.DomainStatus
		}{
			"asked.test": {2, slipway.DomainCreating}, "bound.test": {1, slipway.DomainBinding}, "later.test": {9, slipway.DomainBinding},
			"rests.test": {-time.Duration(t0.UnixNano()), slipway.DomainActive},
			"first.test": {1, slipway.DomainPending}, "second.test": {3, slipway.DomainPending}, "third.test": {5, slipway.DomainPending},
			"leaves.test": {1, slipway.DomainPending},
		} {
			v := customDomain(name, false, d.due)
			v.State = d.state
			if d.due < 0 {
				v.DueAt = time.Time{}
			}
			if err := tx.InsertCustomDomain(v); err != nil {
				return err
			}
		}
		return tx.RemoveCustomDomain(customDomain("leaves.test", false, 0), t0.Add(3))
	})
	names := func(list []slipway.CustomDomain, next time.Time, err error) ([]string, time.Duration) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range list {
			names = append(names, d.Name)
		}
		if next.IsZero() {
			return names, -1
		}
		return names, next.Sub(t0)
	}
	update(t, s, func(tx *store.Tx) error {
		now := t0.Add(3)
		for _, c := range []struct {
			due   func(time.Time, int) ([]slipway.CustomDomain, time.Time, error)
			now   time.Time
			limit int
			want  []string
			next  time.Duration // after t0; -1 for none
		}{
			{tx.DueCustomDomains, now, 10, []string{"bound.test", "asked.test", "leaves.test"}, 9},
			{tx.DueCustomDomains, now, 2, []string{"bound.test", "asked.test"}, 3},
			{tx.DueUnprovedCustomDomains, now, 10, []string{"first.test", "second.test"}, 5},
			{tx.DueUnprovedCustomDomains, now, 1, []string{"first.test"}, 3},
			{tx.DueUnprovedCustomDomains, now.Add(10), 3, []string{"first.test", "second.test", "third.test"}, -1},
			{tx.DueUnprovedCustomDomains, t0, 10, nil, 1},
		} {
			got, next := names(c.due(c.now, c.limit))
			if !slices.Equal(got, c.want) || next != c.next {
				t.Errorf("due at %v, at most %d: %v, then %v; want %v, then %v", c.now.Sub(t0), c.limit, got, next, c.want, c.next)
			}
		}
		return nil
	})
	// A state read before the deletion was requested must not be written.
	update(t, s, func(tx *store.Tx) error {
		if err := tx.SaveCustomDomain(customDomain("leaves.test", false, 0)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("written over its removal: %v", err)
		}
		return nil
	})
}
