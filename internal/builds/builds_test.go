package builds_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/builds"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
)

func TestCalls(t *testing.T) {
	t.Parallel()
	bench := gatewaytest.New(t)
	var before time.Time
	b, err := builds.New(builds.Config{
		List: func() ([]runtimes.Status, error) {
			return []runtimes.Status{
				{Name: "python311", Title: "Python 3.11", Image: "docker.io/python", Suite: "bookworm", End: "2027-10-31", Made: []runtimes.Made{{Version: "3.11.2", Origin: "recipe", Image: "sha256:1", At: gatewaytest.T0}}},
				{Name: "dotnet6", Title: ".NET 6", Absent: "no packages"},
			}, nil
		},
		Prune: func(t time.Time) (int64, error) { before = t; return 7, nil },
		Now:   bench.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := bench.Serve(b.Service(), "Slipway.")
	want := map[string]any{"Runtimes": []any{
		map[string]any{
			"Name": "python311", "Title": "Python 3.11", "Image": "docker.io/python", "Suite": "bookworm", "End": "2027-10-31",
			"Made": []any{map[string]any{"Version": "3.11.2", "Origin": "recipe", "Image": "sha256:1", "CreatedAt": 1_800_000_000.123}},
		},
		map[string]any{"Name": "dotnet6", "Title": ".NET 6", "Absent": "no packages", "Made": []any{}},
	}}
	if d := cmp.Diff(want, c.OK("ListRuntimes", "{}")); d != "" {
		t.Errorf("ListRuntimes (-want +got):\n%s", d)
	}
	if out := c.OK("PruneBuilds", `{"UnusedFor":60}`); out["FreedBytes"] != 7.0 || !before.Equal(gatewaytest.T0.Add(-time.Minute)) {
		t.Errorf("PruneBuilds: %v, before %v", out, before)
	}
	c.Refused("PruneBuilds", `{"UnusedFor":-1}`, "InvalidRequestException", "UnusedFor is -1")
	c.Refused("PruneBuilds", `{"UnusedFor":9223372036854775807}`, "InvalidRequestException", "UnusedFor is")
}
