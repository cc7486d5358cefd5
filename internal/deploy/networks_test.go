package deploy

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// The networks of a release are those of its connector, also of a deleted one.
// A connector without subnets must not read as access to every network.
func TestNetworks(t *testing.T) {
	t.Parallel()
	st := storetest.Memory(t)
	defer st.Close()
	via := func(arn string) slipway.Spec {
		e := &types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: &arn}
		return slipway.Spec{Network: types.NetworkConfiguration{EgressConfiguration: e}}
	}
	subnets := []string{"subnet-a", "subnet-b"}
	err := st.Update(t.Context(), func(tx *store.Tx) error {
		for arn, subnets := range map[string][]string{"two": subnets, "gone": subnets, "nowhere": nil} {
			if err := tx.InsertVPCConnector(slipway.VPCConnector{ARN: arn, Name: arn, Subnets: subnets, CreatedAt: time.Now()}); err != nil {
				return err
			}
		}
		return tx.DeleteVPCConnector("gone", time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	err = st.View(t.Context(), func(tx *store.Tx) error {
		for arn, want := range map[string][]string{"": nil, "two": subnets, "gone": subnets} {
			got, err := networks(tx, via(arn))
			if err != nil {
				return err
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("by connector %q (-want +got):\n%s", arn, d)
			}
		}
		for _, arn := range []string{"nowhere", "none"} {
			if got, err := networks(tx, via(arn)); err == nil {
				t.Errorf("by connector %q: %v, want an error", arn, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
