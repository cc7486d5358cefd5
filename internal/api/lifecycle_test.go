package api_test

import (
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
)

// What each call does in each state: "operation" for one that starts, "nothing"
// for 200 without one, else the exception and its text.
func TestStates(t *testing.T) {
	t.Parallel()
	const cannotDeploy = "InvalidRequestException Can't start a deployment on the specified service, because it isn't in RUNNING state."
	cannot := func(verb, st string) string {
		return fmt.Sprintf("InvalidStateException Service cannot be %s in the current state: %s.", verb, st)
	}
	for st, want := range map[slipway.Status]map[string]string{
		slipway.StatusRunning: {
			"UpdateService": "operation", "StartDeployment": "operation", "PauseService": "operation",
			"ResumeService": "nothing", "DeleteService": "operation",
		},
		slipway.StatusPaused: {
			"UpdateService": cannot("updated", "PAUSED"), "StartDeployment": cannotDeploy, "PauseService": "nothing",
			"ResumeService": "operation", "DeleteService": "operation",
		},
		slipway.StatusCreateFailed: {
			"UpdateService": "operation", "StartDeployment": cannotDeploy, "PauseService": cannot("paused", "CREATE_FAILED"),
			"ResumeService": cannot("resumed", "CREATE_FAILED"), "DeleteService": "operation",
		},
		slipway.StatusDeleteFailed: {
			"UpdateService": cannot("updated", "DELETE_FAILED"), "StartDeployment": cannotDeploy, "PauseService": cannot("paused", "DELETE_FAILED"),
			"ResumeService": cannot("resumed", "DELETE_FAILED"), "DeleteService": "operation",
		},
		slipway.StatusOperationInProgress: {
			"UpdateService": cannot("updated", "OPERATION_IN_PROGRESS"), "StartDeployment": cannotDeploy,
			"PauseService": cannot("paused", "OPERATION_IN_PROGRESS"), "ResumeService": cannot("resumed", "OPERATION_IN_PROGRESS"),
			"DeleteService": cannot("deleted", "OPERATION_IN_PROGRESS"),
		},
	} {
		for operation, outcome := range want {
			t.Run(string(st)+"/"+operation, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				arn := b.create("shop")
				if st == slipway.StatusOperationInProgress {
					b.ok("StartDeployment", arnBody(arn))
				} else {
					b.Update(func(tx *store.Tx) error { return tx.SetStatus(path.Base(arn), st, t0) })
				}
				for _, read := range []string{"DescribeService", "ListOperations", "DescribeCustomDomains"} {
					b.ok(read, arnBody(arn))
				}
				b.ok("TagResource", `{"ResourceArn":"`+arn+`","Tags":[{"Key":"k","Value":"v"}]}`)
				w := b.call(operation, arnBody(arn))
				if got := outcomeOf(t, w, st, operation); got != outcome {
					t.Errorf("got %s\nwant %s", got, outcome)
				}
			})
		}
	}
}

func outcomeOf(t *testing.T, w gatewaytest.Reply, before slipway.Status, operation string) string {
	t.Helper()
	if w.Code != 200 {
		return w.Doc["__type"].(string) + " " + w.Doc["Message"].(string)
	}
	status := "OPERATION_IN_PROGRESS"
	if s, ok := w.Doc["Service"].(map[string]any); ok {
		status = s["Status"].(string)
	} else if operation != "StartDeployment" {
		t.Errorf("%s answers without the service", operation)
	}
	_, started := w.Doc["OperationId"]
	switch {
	case started && status == "OPERATION_IN_PROGRESS":
		return "operation"
	case !started && status == string(before):
		return "nothing"
	}
	return w.Body.String()
}

func TestOneOperationAtATimeUnderRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	var wg sync.WaitGroup
	replies := make([]gatewaytest.Reply, 16)
	for i := range replies {
		r := b.Request("AppRunner.PauseService", arnBody(arn))
		wg.Go(func() { replies[i] = b.Send(r) })
	}
	wg.Wait()
	began := 0
	for _, r := range replies {
		if r.Code == 200 {
			began++
		} else if !strings.Contains(r.Body.String(), `"InvalidStateException","Message":"Service cannot be paused in the current state: OPERATION_IN_PROGRESS."`) {
			t.Errorf("%d %s", r.Code, r.Body)
		}
	}
	if began != 1 {
		t.Errorf("%d operations began", began)
	}
}

func TestListOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	ids := []string{}
	for _, op := range []string{"StartDeployment", "UpdateService", "PauseService"} {
		b.Clock.Advance(time.Minute)
		ids = append(ids, b.ok(op, arnBody(arn))["OperationId"].(string))
		if op != "PauseService" {
			b.Clock.Advance(time.Second)
			b.end(arn, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
		}
	}
	list := b.ok("ListOperations", arnBody(arn))["OperationSummaryList"].([]any)
	if len(list) != 4 {
		t.Fatalf("%d operations, want 4", len(list))
	}
	want := parse(t, fmt.Sprintf(`{
		"pause": {"Id": %q, "Type": "PAUSE_SERVICE", "Status": "PENDING", "TargetArn": %q, "StartedAt": 1800000182.123, "UpdatedAt": 1800000182.123},
		"update": {"Id": %q, "Type": "UPDATE_SERVICE", "Status": "ROLLBACK_SUCCEEDED", "TargetArn": %q,
			"StartedAt": 1800000122.122, "UpdatedAt": 1800000122.123, "EndedAt": 1800000122.123}}`, ids[2], arn, ids[1], arn))
	if d := cmp.Diff([]any{want["pause"], want["update"]}, list[:2]); d != "" {
		t.Errorf("the newest two (-want +got):\n%s", d)
	}
	if last := list[3].(map[string]any)["Type"]; last != "CREATE_SERVICE" {
		t.Errorf("the oldest operation is %s", last)
	}
	b.refused("ListOperations", arnBody(noService), "ResourceNotFoundException", "Service not found")
}

// UpdatedAt tells of the change of status that asking for an operation is.
func TestUpdatedAt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.Clock.Advance(time.Minute)
	if got := at(t, b.ok("PauseService", arnBody(arn)), "Service", "UpdatedAt"); got != 1800000060.123 {
		t.Errorf("UpdatedAt is %v after PauseService", got)
	}
	if got := at(t, b.ok("DescribeService", arnBody(arn)), "Service", "UpdatedAt"); got != 1800000060.123 {
		t.Errorf("UpdatedAt is %v while the operation is live", got)
	}
	b.Clock.Advance(time.Second)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
	if got := at(t, b.ok("DescribeService", arnBody(arn)), "Service", "UpdatedAt"); got != 1800000061.123 {
		t.Errorf("UpdatedAt is %v after the operation", got)
	}
}
