package deploy

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/seal/sealtest"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// The secrets in an operation's state are the release's as they are. Those that
// commit d9e5626 sealed for the operation are sealed again for the release.
func TestTakeSecrets(t *testing.T) {
	t.Parallel()
	st := storetest.Memory(t)
	defer st.Close()
	keys := sealtest.New(t, st)
	p := &Plans{Config{Store: st, Secrets: &secrets.Reader{Store: st, Vault: &secrets.Vault{Keys: keys}}, Log: slog.New(slog.DiscardHandler)}}
	op, want := &slipway.Operation{ID: "op"}, map[string]string{"TOKEN": "t"}
	for owner, sealedFor := range map[string]string{secrets.ReleaseOwner("rel"): "rel", "operation op": ""} {
		sealed, err := secrets.SealEnvironment(keys, owner, want)
		if err != nil {
			t.Fatal(err)
		}
		s := state{Release: "rel", Secrets: sealed, SealedFor: sealedFor}
		taken, err := p.takeSecrets(op, &s, "rel")
		if err != nil {
			t.Fatal(err)
		}
		got, err := secrets.OpenEnvironment(keys, secrets.ReleaseOwner("rel"), taken)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("sealed for %q: %v\n%s", owner, err, d)
		}
		if s.Secrets != nil || s.SealedFor != "" {
			t.Errorf("the state keeps %d bytes sealed for %q", len(s.Secrets), s.SealedFor)
		}
	}
}
