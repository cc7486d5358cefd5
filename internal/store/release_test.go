package store

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

// oldRelease is the document of a release with all settings as commit d9e5626,
// which had no slipway.Workload, stored it.
const oldRelease = `{"ImageRef":"shop:1","Process":{"Argv":["/app","-v"],"Env":["A=b","PORT=80"],"Dir":"/srv","User":"web",` +
	`"StopSignal":"SIGINT"},"Port":80,"Networks":["subnet-a"],"Resources":{"CPU":256,"Memory":512},"HealthCheck":{"HTTP":true,` +
	`"Path":"/ok","Interval":5000000000,"Timeout":2000000000,"HealthyThreshold":1,"UnhealthyThreshold":3},` +
	`"Scaling":{"MaxConcurrency":100,"MinSize":1,"MaxSize":25},"Tracing":true}`

// TestReleaseDocument: a release that commit d9e5626 stored is read completely, and
// a release that is stored now has the same form.
func TestReleaseDocument(t *testing.T) {
	t.Parallel()
	want := slipway.Release{
		ID: "r", ServiceID: "s", Operation: "o", Image: "sha256:f00d", ImageRef: "shop:1",
		Workload: slipway.Workload{
			Process:   slipway.Process{Argv: []string{"/app", "-v"}, Env: []string{"A=b", "PORT=80"}, Dir: "/srv", User: "web", StopSignal: "SIGINT"},
			Port:      80,
			Resources: slipway.Resources{CPU: 256, Memory: 512},
			Networks:  []string{"subnet-a"},
			Tracing:   true,
		},
		HealthCheck: slipway.HealthCheck{HTTP: true, Path: "/ok", Interval: 5 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 1, UnhealthyThreshold: 3},
		Scaling:     slipway.Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 25},
		Desired:     slipway.DesiredRun, Size: 2,
	}
	s, err := Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	again := want
	again.ID, again.KeepUntil = "again", time.Unix(0, 1_800_000_000_000_000_001).UTC()
	var old, now any
	err = s.Update(t.Context(), func(tx *Tx) error {
		if _, err := tx.exec(`INSERT INTO release (`+releaseColumns+`) VALUES ('r', 's', 'o', 'sha256:f00d', $1, 'run', 2, 0, '', 0, 0, 0)`, oldRelease); err != nil {
			return err
		}
		got, err := tx.Release("r")
		if err != nil {
			return err
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("an old release is read as another (-want +got):\n%s", d)
		}
		if err := tx.InsertRelease(again); err != nil {
			return err
		}
		if got, err = tx.Release("again"); err != nil || !got.KeepUntil.Equal(again.KeepUntil) {
			t.Errorf("a release is kept until %v, %v; want %v", got.KeepUntil, err, again.KeepUntil)
		}
		stored, err := one(tx, scanValue[string], `SELECT settings FROM release WHERE id = 'again'`)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(stored), &now)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(oldRelease), &old); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(old, now); d != "" {
		t.Errorf("a release is stored in another form (-old +now):\n%s", d)
	}
}
