package deploy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// The host names of a service are free when it is DELETED: no loop has to pass first.
func TestDeletedServiceHoldsNoDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		domain := func(id, service, name string) slipway.CustomDomain {
			return slipway.CustomDomain{ID: id, ServiceID: service, Name: name, WWW: true, CreatedAt: time.Now(), State: slipway.DomainActive}
		}
		err := b.st.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.InsertCustomDomain(domain("a", b.id, "shop.example.com")); err != nil {
				return err
			}
			removed := domain("b", b.id, "old.example.com")
			if err := tx.InsertCustomDomain(removed); err != nil {
				return err
			}
			return tx.RemoveCustomDomain(removed, time.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
		b.do(slipway.DeleteService, nil, slipway.OperationSucceeded)
		err = b.st.Update(t.Context(), func(tx *store.Tx) error {
			for id, name := range map[string]string{"c": "shop.example.com", "d": "old.example.com"} {
				if err := tx.InsertCustomDomain(domain(id, "another", name)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
