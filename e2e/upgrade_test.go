package e2e

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"
)

// TestUpgrade fills a data directory with everything that the last release can
// make, then replaces the server's binary by the one under test while instances
// serve. Nothing that the API tells may differ afterwards, and no instance may
// notice.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(*server)
	}{
		{"stopped", (*server).stop},
		{"killed", (*server).kill},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			upgrade(t, c.end)
		})
	}
}

func upgrade(t *testing.T, end func(*server)) {
	old := base(t)
	endpoint := freeAddr(t)
	s := prepare(t, nil, "--api-addr", freeAddr(t), "--http-addr", freeAddr(t), "--health-limit", "30s",
		"--network", "subnet-a=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+endpoint)
	s.bin = old
	s.start()
	e := populate(t, s, endpoint)

	clients := newSteadyClients(t, e)
	before, records := e.readAll(t), s.auditRecords()
	if before.lines("loaded", "application") < 2 || before.lines("loaded", "service") == 0 || before.lines("failed", "application") == 0 || len(records) < 20 {
		t.Errorf("the old server tells too little: %d audit records and %v", len(records), slices.Sorted(maps.Keys(before)))
	}
	e.beginOperations()
	clients.routerDown(true)
	end(s)
	s.bin = slipway
	s.start()
	clients.routerDown(false)

	e.assertTakenOver()
	if diff := cmp.Diff(before, e.readAll(t), sameAnswers); diff != "" {
		t.Errorf("the new server answers otherwise (-old +new):\n%s", diff)
	}
	after := s.auditRecords()
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
		t.Logf("binaries: %s, then %s", old, slipway)
	}
}

// beginOperations begins an update and a creation that are in flight when the
// server ends.
func (e *estate) beginOperations() {
	e.t.Helper()
	busy, op := e.create("busy", spec{image: e.image, env: map[string]string{"MODE": "mute"}})
	e.busy, e.creation = busy, op
	eventually(e.t, "the creation of busy has begun", func() (bool, string) {
		o, err := e.operation(*busy.ServiceArn, op)
		return err == nil && o.Status == types.OperationStatusInProgress, fmt.Sprint(o.Status, err)
	})
	out, err := e.client().UpdateService(e.t.Context(), &apprunner.UpdateServiceInput{
		ServiceArn: e.moving.ServiceArn, SourceConfiguration: spec{image: e.image, env: map[string]string{"GREETING": "moved"}}.source(),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.update = *out.OperationId
}

// assertTakenOver checks that the very processes that served before serve on,
// at the same hosts.
func (e *estate) assertTakenOver() {
	e.t.Helper()
	for _, p := range e.processes {
		if !p.alive() {
			e.t.Errorf("process %d of an instance is gone", p.pid)
		}
	}
	if got := e.boots(e.loaded, 2); !slices.Equal(got, e.bootIDs) {
		e.t.Errorf("instances %v answer, before the upgrade it was %v", got, e.bootIDs)
	}
	e.hostAnswersAs("loaded.localhost", secretOf("second"))
	e.answers(e.endpoint, e.door, 200)
	if code, _, err := e.request(e.paused, "/"); err != nil || code != 503 {
		e.t.Errorf("the paused service answers %d (%v)", code, err)
	}
	if code, _, err := e.request(e.deleted, "/"); err != nil || code != 404 {
		e.t.Errorf("the deleted service answers %d (%v)", code, err)
	}
}

// assertOperationsGoOn checks that operations that were in flight end as they
// would have without the upgrade.
func (e *estate) assertOperationsGoOn() {
	e.t.Helper()
	e.succeeds(e.moving, e.update)
	e.replies(e.moving, 3, "moved")
	if got := e.ended(e.busy, e.creation); got != types.OperationStatusFailed {
		e.t.Errorf("the creation of an app that never listens ended %s, want FAILED", got)
	}
	if history := e.history(e.busy); !strings.Contains(history, "nothing listens on port 8080") {
		e.t.Errorf("the events do not tell why:\n%s", history)
	}
}

// assertHooks checks that webhooks of before get events of after.
func (e *estate) assertHooks() {
	e.t.Helper()
	eventually(e.t, "the end of the update is told to the webhook", func() (bool, string) {
		told := e.hooks.story("moving")
		return slices.Contains(told, "UpdateServiceCompletedSuccessfully"), fmt.Sprint(told)
	})
}

// assertKeyWorks checks that an access key of before is one, with its policies.
func (e *estate) assertKeyWorks() {
	e.t.Helper()
	call := func(args ...string) (string, error) {
		cmd := exec.CommandContext(e.t.Context(), e.bin, args...)
		cmd.Env = append(e.keyEnv, "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := call("ls"); err != nil || !strings.Contains(out, "loaded") {
		e.t.Errorf("the user can't list: %v: %s", err, out)
	}
	if out, err := call("rm", "loaded", "--yes"); err == nil || !strings.Contains(out, "is not authorized to perform: apprunner:DeleteService") {
		e.t.Errorf("the user may delete: %v: %s", err, out)
	}
}

// changeTakenOver leads services of before through the changes of a life.
func (e *estate) changeTakenOver() {
	e.t.Helper()
	ctx, c := e.t.Context(), e.client()
	deployment, err := c.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: e.loaded.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	e.succeeds(e.loaded, *deployment.OperationId)
	if got := e.boots(e.loaded, 2); slices.ContainsFunc(got, func(id string) bool { return slices.Contains(e.bootIDs, id) }) {
		e.t.Errorf("after a deployment %v answer, before it %v", got, e.bootIDs)
	}
	e.replies(e.loaded, 2, secretOf("second"))

	pause, err := c.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: e.moving.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	e.succeeds(e.moving, *pause.OperationId)
	for _, svc := range []*types.Service{e.paused, e.moving} {
		resume, err := c.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: svc.ServiceArn})
		if err != nil {
			e.t.Fatal(err)
		}
		e.succeeds(svc, *resume.OperationId)
	}
	e.replies(e.paused, 2, "paused")
	e.replies(e.moving, 2, "moved")
}

// deleteTakenOver deletes everything that holds resources of the machine; the
// test's end finds what is left.
func (e *estate) deleteTakenOver() {
	e.t.Helper()
	e.deleteConnection(e.t.Context())
	e.ingress(e.connection, types.VpcIngressConnectionStatusDeleted)
	e.deleteAll()
	if code, _, err := e.request(e.loaded, "/"); err != nil || code != 404 {
		e.t.Errorf("a deleted service answers %d (%v)", code, err)
	}
	out, err := e.client().DescribeService(e.t.Context(), &apprunner.DescribeServiceInput{ServiceArn: e.loaded.ServiceArn})
	if err != nil || out.Service.Status != types.ServiceStatusDeleted {
		e.t.Errorf("a deleted service is described as %+v (%v)", aws.ToString(e.loaded.ServiceName), err)
	}
}
