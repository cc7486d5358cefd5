package upgrade

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestUpgrade fills a data directory with everything that the base commit can
// create, then replaces the server's binary by the one under test while instances
// serve. All answers of the API must be the same afterwards, and no instance may be
// restarted or miss a request.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(*harness.Server)
	}{
		{"stopped", (*harness.Server).Stop},
		{"killed", (*harness.Server).Kill},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			upgrade(t, c.end)
		})
	}
}

func upgrade(t *testing.T, end func(*harness.Server)) {
	old := base(t)
	endpoint := harness.FreeAddr(t)
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t), "--health-limit", "30s",
		"--network", "subnet-a=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+endpoint)
	s.Binary = old
	s.Start()
	e := populate(t, s, endpoint)

	clients := newSteadyClients(t, e)
	before, records := e.readAll(t), auditRecords(s)
	if before.lines("loaded", "application") < 2 || before.lines("loaded", "service") == 0 || before.lines("failed", "application") == 0 || len(records) < 20 {
		t.Errorf("the old server shows too little: %d audit records and %v", len(records), slices.Sorted(maps.Keys(before)))
	}
	e.beginOperations()
	clients.routerDown(true)
	end(s)
	s.Binary = harness.Binary
	s.Start()
	clients.routerDown(false)

	e.assertTakenOver()
	if diff := cmp.Diff(before, e.readAll(t), sameAnswers); diff != "" {
		t.Errorf("the new server answers differently (-old +new):\n%s", diff)
	}
	after := auditRecords(s)
	for id, record := range records {
		if diff := cmp.Diff(record, after[id]); diff != "" {
			t.Errorf("audit record %s (-old +new):\n%s", id, diff)
		}
	}
	e.assertOperationsGoOn()
	e.assertHooks()
	e.assertKeyWorks()
	clients.assertServedThroughout()

	e.changeTakenOver()
	e.deleteTakenOver()
	if t.Failed() {
		t.Logf("binaries: %s, then %s", old, harness.Binary)
	}
}
