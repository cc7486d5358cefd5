package ecr_test

import (
	"fmt"
	"testing"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

// A user creates a bounded number of repositories, and another is not concerned.
func TestShare(t *testing.T) {
	t.Parallel()
	b := open(t)
	ann := b.Limited([]gateway.Service{b.ecr.Service()}, `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	b.Open([]gateway.Service{b.ecr.Service()})
	b.Update(func(tx *store.Tx) error {
		for i := range 999 {
			if err := tx.SetMaker(fmt.Sprint(i), string(share.Repositories), "AIDAANN"); err != nil {
				return err
			}
		}
		return nil
	})
	ann.OK(target+"CreateRepository", `{"repositoryName":"ann/one"}`)
	ann.Refused(target+"CreateRepository", `{"repositoryName":"ann/two"}`, "LimitExceededException", "1000 repositories")
	b.OK(target+"CreateRepository", `{"repositoryName":"two"}`)
	ann.OK(target+"DeleteRepository", `{"repositoryName":"ann/one"}`)
	ann.OK(target+"CreateRepository", `{"repositoryName":"ann/two"}`)
}
