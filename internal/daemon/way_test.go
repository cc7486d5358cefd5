package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/source/config"
)

// Builds reach the outside as the host does, unless flags say otherwise.
func TestWayOf(t *testing.T) {
	t.Parallel()
	host := step.Way{CAFile: "/host.pem", Proxy: "http://host:3128", NoProxy: "localhost", Env: []config.Variable{{Name: "GOPROXY", Value: "https://host"}}}
	with := func(change func(*step.Way)) step.Way {
		w := host
		change(&w)
		return w
	}
	for name, c := range map[string]struct {
		flags Build
		want  step.Way
	}{
		"the host's":    {Build{}, host},
		"the flags'":    {Build{CAFile: "/flag.pem"}, with(func(w *step.Way) { w.CAFile = "/flag.pem" })},
		"none":          {Build{CAFile: "none", Proxy: "none", NoProxy: "none"}, step.Way{Env: host.Env}},
		"variables too": {Build{Env: []string{"A=b=c"}}, with(func(w *step.Way) { w.Env = append(w.Env, config.Variable{Name: "A", Value: "b=c"}) })},
	} {
		got, err := wayOf(c.flags, host)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, v := range []string{"A", "=b"} {
		if _, err := wayOf(Build{Env: []string{v}}, host); err == nil {
			t.Errorf("%q is taken", v)
		}
	}
}
