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

func TestUsersAndTheirCredentials(t *testing.T) {
	t.Parallel()
	s := open(t)
	ann := slipway.User{Name: "Ann", ID: "AIDA1", Path: "/team/", CreatedAt: t0}
	key := slipway.AccessKey{ID: "AKIA1", Secret: "s", User: "Ann", CreatedAt: t0}
	session := slipway.Session{ID: "ASIA1", Secret: "t", Token: "tok", User: "Ann", CreatedAt: t0, ExpiresAt: t0.Add(time.Hour)}
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.InsertUser(ann), tx.InsertAccessKey(key), tx.InsertSession(session, t0),
			tx.InsertAccessKey(slipway.AccessKey{ID: "AKIAROOT", Secret: "r", User: "root", CreatedAt: t0}),
			tx.InsertAccessKey(slipway.AccessKey{ID: "AKIALOST", Secret: "l", User: "nobody", CreatedAt: t0}))
	})
	update(t, s, func(tx *store.Tx) error {
		for _, name := range []string{"Ann", "ann"} {
			if err := tx.InsertUser(slipway.User{Name: name, ID: "AIDA2", Path: "/"}); !errors.Is(err, store.ErrNameTaken) {
				t.Errorf("a second %s: %v", name, err)
			}
		}
		return nil
	})
	credentials := func(id string) (c store.Credentials, err error) {
		verr := s.View(t.Context(), func(tx *store.Tx) error { c, err = tx.Credentials(id); return nil })
		if verr != nil {
			t.Fatal(verr)
		}
		return c, err
	}
	want := store.Credentials{Session: slipway.Session{ID: "AKIA1", Secret: "s", User: "Ann", CreatedAt: t0}, UserID: "AIDA1", Path: "/team/"}
	if got, err := credentials("AKIA1"); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := credentials("ASIA1"); err != nil || got.Session != session || got.UserID != "AIDA1" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := credentials("AKIAROOT"); err != nil || got.User != "root" || got.UserID != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := credentials("AKIALOST"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the key of nobody: %+v, %v", got, err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.SetAccessKeyInactive("AKIA1", true) })
	if _, err := credentials("AKIA1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an inactive key: %v", err)
	}
	update(t, s, func(tx *store.Tx) error {
		later := slipway.Session{ID: "ASIA2", User: "Ann", ExpiresAt: t0.Add(3 * time.Hour)}
		return tx.InsertSession(later, t0.Add(2*time.Hour))
	})
	if _, err := credentials("ASIA1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a session that expired long ago: %v", err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.DeleteUser("Ann", "arn") })
	if _, err := credentials("ASIA2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a session of a user who is gone: %v", err)
	}
}

func TestPoliciesOfUsers(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := slipway.ManagedPolicy{ARN: "arn:p", ID: "ANPA1", Name: "P", Path: "/", Description: "d", DefaultVersion: 1, CreatedAt: t0, UpdatedAt: t0}
	update(t, s, func(tx *store.Tx) error {
		err := errors.Join(tx.InsertPolicy(p, "one"), tx.AttachPolicy("ann", "arn:p"), tx.AttachPolicy("ann", "arn:p"), tx.AttachPolicy("ann", "arn:provided"),
			tx.PutInlinePolicy("ann", slipway.InlinePolicy{Name: "i", Document: "x"}), tx.PutInlinePolicy("ann", slipway.InlinePolicy{Name: "i", Document: "y"}))
		if err != nil {
			return err
		}
		if err := tx.InsertPolicy(slipway.ManagedPolicy{ARN: "arn:q", ID: "ANPA2", Name: "p"}, "x"); !errors.Is(err, store.ErrNameTaken) {
			t.Errorf("a second policy of the name: %v", err)
		}
		return nil
	})
	documents := func() (list []string) {
		err := s.View(t.Context(), func(tx *store.Tx) error {
			got, err := tx.DocumentsOf("ann")
			for _, d := range got {
				list = append(list, d.Name+"="+d.Document)
			}
			slices.Sort(list)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if d := cmp.Diff([]string{"arn:p=one", "i=y"}, documents()); d != "" {
		t.Error(d)
	}
	later := t0.Add(time.Hour)
	update(t, s, func(tx *store.Tx) error {
		n, err := tx.InsertPolicyVersion("arn:p", "two", later)
		if n != 2 || err != nil {
			t.Errorf("version %d, %v", n, err)
		}
		return err
	})
	if d := cmp.Diff([]string{"arn:p=one", "i=y"}, documents()); d != "" {
		t.Error(d)
	}
	update(t, s, func(tx *store.Tx) error {
		err := errors.Join(tx.SetDefaultPolicyVersion("arn:p", 2, later), tx.DeletePolicyVersion("arn:p", 1))
		n, ierr := tx.InsertPolicyVersion("arn:p", "three", later)
		if n != 3 {
			t.Errorf("the number of a deleted version was used again: %d", n)
		}
		return errors.Join(err, ierr)
	})
	if d := cmp.Diff([]string{"arn:p=two", "i=y"}, documents()); d != "" {
		t.Error(d)
	}
	update(t, s, func(tx *store.Tx) error {
		versions, err := tx.PolicyVersions("arn:p")
		if len(versions) != 2 || versions[0].Version != 3 || versions[1].Document != "two" {
			t.Errorf("%+v", versions)
		}
		arns, aerr := tx.AttachedPolicies("ann")
		users, uerr := tx.PolicyUsers("arn:provided")
		if !slices.Equal(arns, []string{"arn:p", "arn:provided"}) || !slices.Equal(users, []string{"ann"}) {
			t.Errorf("%q, %q", arns, users)
		}
		return errors.Join(err, aerr, uerr, tx.DetachPolicy("ann", "arn:p"), tx.DeletePolicy("arn:p"), tx.DeleteInlinePolicy("ann", "i"))
	})
	if got := documents(); len(got) != 0 {
		t.Errorf("%q", got)
	}
	update(t, s, func(tx *store.Tx) error {
		for _, err := range []error{tx.DetachPolicy("ann", "arn:p"), tx.DeletePolicy("arn:p"), tx.DeleteInlinePolicy("ann", "i"), tx.DeleteUser("ann", "arn"), tx.DeleteAccessKey("x")} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("again: %v", err)
			}
		}
		return nil
	})
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s := open(t)
	var want []slipway.AuditRecord
	for i, name := range []string{"a", "b", "c", "d"} {
		r := slipway.AuditRecord{
			ID: name, At: t0.Add(time.Duration(i/2) * time.Minute), Name: "Op" + name, Source: "s", User: "ann", KeyID: "k" + name,
			Record: "{}", Resources: []slipway.AuditResource{{Type: "T" + name, Name: "arn:" + name}},
		}
		update(t, s, func(tx *store.Tx) error { return tx.PutAudit(r) })
		r.Record = `{"done":true}`
		update(t, s, func(tx *store.Tx) error { return tx.PutAudit(r) })
		want = append([]slipway.AuditRecord{r}, want...)
	}
	find := func(q store.AuditQuery) (list []slipway.AuditRecord) {
		if q.Limit == 0 {
			q.Limit = 10
		}
		err := s.View(t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Audit(q); return err })
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	ids := func(q store.AuditQuery) (ids string) {
		for _, r := range find(q) {
			ids += r.ID
		}
		return ids
	}
	if d := cmp.Diff(want, find(store.AuditQuery{})); d != "" {
		t.Error(d)
	}
	for q, want := range map[store.AuditQuery]string{
		{ID: "b"}:                  "b",
		{Name: "Opc"}:              "c",
		{User: "ann", KeyID: "kd"}: "d",
		{User: "bob"}:              "",
		{Source: "s", Limit: 2}:    "dc",
		{BeforeAt: t0.Add(time.Minute), BeforeID: "d"}: "cba",
		{BeforeAt: t0.Add(time.Minute), BeforeID: "c"}: "ba",
		{From: t0.Add(time.Minute)}:                    "dc",
		{To: t0}:                                       "ba",
		{ResourceName: "arn:a"}:                        "a",
		{ResourceType: "Tb"}:                           "b",
		{ResourceName: "arn:a", User: "bob"}:           "",
	} {
		if got := ids(q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
	}
	update(t, s, func(tx *store.Tx) error { return tx.ForgetAuditOf("ann", 1) })
	if got := ids(store.AuditQuery{}); got != "dcb" {
		t.Errorf("beyond a number: %q are left", got)
	}
	update(t, s, func(tx *store.Tx) error { return tx.ForgetAudit(t0.Add(time.Second)) })
	if got := ids(store.AuditQuery{}) + "/" + ids(store.AuditQuery{ResourceName: "arn:b"}); got != "dc/" {
		t.Errorf("before a time: %q are left", got)
	}
}
