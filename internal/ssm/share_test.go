package ssm_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

// A user has a share of the parameters and of their bytes: the oldest versions go first,
// then a value is refused.
func TestShare(t *testing.T) {
	t.Parallel()
	root := newBench(t)
	ann := bench{root.Limited(`{"Effect":"Allow","Action":"*","Resource":"*"}`)}
	put := func(b bench, name string) {
		t.Helper()
		b.OK("PutParameter", `{"Name":%q,"Value":%q,"Type":"String","Overwrite":true}`, name, strings.Repeat("v", 40))
	}
	fill := func(bytes int64) {
		root.Update(func(tx *store.Tx) error {
			return tx.SetMadeBytes("arn:aws:ssm:us-east-1:000000000000:parameter/other", bytes)
		})
	}
	history := func() int {
		return len(root.OK("GetParameterHistory", `{"Name":"/mine"}`)["Parameters"].([]any))
	}
	put(ann, "/other")
	for range 4 {
		put(ann, "/mine")
	}
	if n := history(); n != 4 {
		t.Fatalf("%d versions", n)
	}
	fill(share.MostBytes - 400) // of some 100 each
	put(ann, "/mine")
	if n := history(); n < 1 || n > 4 {
		t.Errorf("%d versions are left, want those that fit", n)
	}
	fill(share.MostBytes)
	ann.Refused("PutParameter", `{"Name":"/mine","Value":"v","Type":"String","Overwrite":true}`, "ParameterLimitExceeded", "64 MiB")
	put(root, "/roots")
	put(root, "/roots")
	ann.OK("DeleteParameter", `{"Name":"/other"}`)
	put(ann, "/mine")
	root.Update(func(tx *store.Tx) error {
		for i := range 4999 {
			if err := tx.SetMaker(fmt.Sprint(i), string(share.Parameters), "AIDAANN"); err != nil {
				return err
			}
		}
		return nil
	})
	ann.Refused("PutParameter", `{"Name":"/more","Value":"v","Type":"String"}`, "ParameterLimitExceeded", "5000 parameters")
	put(root, "/more")
}
