package cloudwatch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// The output of builds is kept with that of instances, and shown with the service's
// events.
func TestBuildsAreInTheServicesGroup(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	const second = 1_000_000_000
	b.output.add("build/1", second/2, "[AppRunner] Starting")
	b.output.add("instance/a", second/2, "hello")
	b.output.add("build/1", second+second/2, "[Build] compiled")
	b.output.add("build/1", 3*second, "[AppRunner] done")

	names := func(kind string) (list []string) {
		for _, s := range b.logs("DescribeLogStreams", b.in(kind))["logStreams"].([]any) {
			list = append(list, s.(map[string]any)["logStreamName"].(string))
		}
		return list
	}
	if got := names("application"); !slices.Equal(got, []string{"instance/a"}) {
		t.Errorf("the application's group has the streams %v", got)
	}
	if got := names("service"); !slices.Equal(got, []string{"build/1", "deployment/1", "events"}) {
		t.Errorf("the service's group has the streams %v", got)
	}
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"all in order": {b.in("service"), []string{
			"[AppRunner] Service creation started.", "[AppRunner] Starting", "[AppRunner] Pulling image.", "[Build] compiled",
			"[AppRunner] Service creation completed successfully.", "[AppRunner] done",
		}},
		"a prefix of builds": {b.in("service", `"logStreamNamePrefix":"bu"`), []string{"[AppRunner] Starting", "[Build] compiled", "[AppRunner] done"}},
		"one build":          {b.in("service", `"logStreamNamePrefix":"build/1"`), []string{"[AppRunner] Starting", "[Build] compiled", "[AppRunner] done"}},
		"another prefix":     {b.in("service", `"logStreamNamePrefix":"dep"`), []string{"[AppRunner] Pulling image."}},
		"a stream":           {b.in("service", `"logStreamNames":["build/1"]`), []string{"[AppRunner] Starting", "[Build] compiled", "[AppRunner] done"}},
		"two streams":        {b.in("service", `"logStreamNames":["build/1","deployment/1"]`), []string{"[AppRunner] Starting", "[AppRunner] Pulling image.", "[Build] compiled", "[AppRunner] done"}},
		"the first two":      {b.in("service", `"limit":2`), []string{"[AppRunner] Service creation started.", "[AppRunner] Starting"}},
		"the application":    {b.in("application"), []string{"hello"}},
	} {
		if d := cmp.Diff(c.want, texts(b.logs("FilterLogEvents", c.body))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if d := cmp.Diff([]string{"[Build] compiled", "[AppRunner] done"}, texts(b.logs("GetLogEvents", b.in("service", `"logStreamName":"build/1"`, `"limit":2`)))); d != "" {
		t.Errorf("the end of a build (-want +got):\n%s", d)
	}
	b.logsRefused("GetLogEvents", b.in("application", `"logStreamName":"build/1"`), "ResourceNotFoundException", "The specified log stream does not exist.")
}

// The access log is a group of its own, which is listed while it is written.
func TestAccessLogGroup(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	b.output.add("instance/a", 1, "of the application")
	b.output.add("access", 2, `{"path":"/"}`)
	b.output.add("build/1", 3, "of a build")
	groups := func() (list []string) {
		for _, g := range b.logs("DescribeLogGroups", `{}`)["logGroups"].([]any) {
			list = append(list, strings.TrimPrefix(g.(map[string]any)["logGroupName"].(string), b.group))
		}
		return list
	}
	if got := groups(); !slices.Equal(got, []string{"application", "service"}) {
		t.Errorf("groups %q without the setting", got)
	}
	parts := strings.Split(b.group, "/")
	b.Update(func(tx *store.Tx) error {
		v, err := tx.Service(parts[4])
		if err != nil {
			return err
		}
		return tx.SetTags(v.ARN, []slipway.Tag{{Key: "slipway:access-log", Value: "true"}})
	})
	if got := groups(); !slices.Equal(got, []string{"access", "application", "service"}) {
		t.Errorf("groups %q with the setting", got)
	}
	for kind, want := range map[string]string{"application": "of the application", "access": `{"path":"/"}`} {
		var got []string
		for _, e := range b.logs("FilterLogEvents", b.in(kind))["events"].([]any) {
			got = append(got, e.(map[string]any)["message"].(string))
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("group %s has %q, want %q", kind, got, want)
		}
	}
	if doc := b.logs("GetLogEvents", b.in("access", `"logStreamName":"access"`)); len(doc["events"].([]any)) != 1 {
		t.Errorf("stream access: %v", doc)
	}
	for _, c := range [][2]string{{"access", "instance/a"}, {"access", "build/1"}, {"application", "access"}, {"service", "access"}} {
		b.logsRefused("GetLogEvents", b.in(c[0], `"logStreamName":"`+c[1]+`"`), "ResourceNotFoundException", "The specified log stream does not exist.")
	}
	if doc := b.logs("FilterLogEvents", b.in("access", `"logStreamNamePrefix":"instance/"`)); len(doc["events"].([]any)) != 0 {
		t.Errorf("a prefix reads %v", doc)
	}
}
