package life

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// TestDamage damages files and rows of many kinds while the server does not run. The services
// beside them are served, listed, logged and deployed as before, and no instance is ended.
func TestDamage(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--warm", "0")
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	services := map[string]*types.Service{}
	boots := map[string]string{}
	for _, name := range []string{"healthy", "record", "spec", "release", "logs"} {
		services[name] = s.RunningService(name, harness.Spec{Image: image, Env: map[string]string{"GREETING": name}})
		for id := range s.AskMany(services[name], 3, name) {
			boots[name] = id
		}
	}
	id := func(name string) string {
		arn := *services[name].ServiceArn
		return arn[strings.LastIndex(arn, "/")+1:]
	}
	s.Stop()

	database := filepath.Join(s.DataDir, "slipway.db")
	rows := []storetest.Value{
		{Table: "service", Column: "spec", Where: "id", Is: id("spec")},
		{Table: "release", Column: "settings", Where: "service_id", Is: id("release")},
		{Table: "operation", Column: "input", Where: "service_id", Is: id("logs")},
	}
	storetest.Spoil(t, database, rows...)
	instances := filepath.Join(s.DataDir, "runtime", "instances")
	records, err := filepath.Glob(filepath.Join(instances, "*", "spec.json"))
	if err != nil || len(records) != len(services) {
		t.Fatalf("records %v, %v", records, err)
	}
	for _, record := range records {
		b, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), id("record")) {
			continue
		}
		for _, path := range []string{record, filepath.Join(filepath.Dir(record), "spec.copy")} {
			if err := os.Truncate(path, 10); err != nil {
				t.Fatal(err)
			}
		}
	}
	logs := filepath.Join(s.DataDir, "logs", id("logs"))
	if err := os.MkdirAll(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/self/mem", filepath.Join(logs, "0000000000000000001.log")); err != nil {
		t.Fatal(err)
	}
	s.Start()

	for _, name := range []string{"healthy", "record", "logs"} {
		if got := s.AskMany(services[name], 3, name); got[boots[name]] == 0 {
			t.Errorf("%s is served by %v, was by %s", name, got, boots[name])
		}
	}
	list, err := s.Client().ListServices(t.Context(), &apprunner.ListServicesInput{})
	if err != nil || len(list.ServiceSummaryList) < 4 {
		t.Errorf("the list has %d services, %v", len(list.ServiceSummaryList), err)
	}
	for _, name := range []string{"healthy", "record", "logs"} {
		started, err := s.Client().StartDeployment(t.Context(), &apprunner.StartDeploymentInput{ServiceArn: services[name].ServiceArn})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := s.WaitOperation(services[name], *started.OperationId); got != types.OperationStatusSucceeded {
			t.Errorf("the deployment of %s ended %s:\n%s", name, got, s.Events(services[name]))
		}
		s.AskMany(services[name], 3, name)
	}
	for _, want := range []string{`row="service ` + id("spec") + `"`, `row="service ` + id("release") + `"`, "the record of an instance is damaged"} {
		if !s.Output.Contains(want) {
			t.Errorf("the log does not name %s", want)
		}
	}
	// Those whose rows can't be read were left as they are.
	left, err := filepath.Glob(filepath.Join(instances, "*", "spec.json"))
	for _, name := range []string{"spec", "release"} {
		found := false
		for _, record := range left {
			b, err := os.ReadFile(record)
			found = found || err == nil && strings.Contains(string(b), id(name))
		}
		if !found {
			t.Errorf("the instance of %s is gone: %v, %v", name, left, err)
		}
	}

	// With the rows put right they serve again.
	s.Stop()
	storetest.Mend(t, database, rows[:2]...)
	s.Start()
	for _, name := range []string{"spec", "release"} {
		if got := s.AskMany(services[name], 3, name); got[boots[name]] == 0 {
			t.Errorf("%s is served by %v, was by %s", name, got, boots[name])
		}
	}
}
