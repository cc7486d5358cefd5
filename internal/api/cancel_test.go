package api_test

import (
	"context"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

const (
	cancel = "Slipway.CancelOperation"
	rootIs = "arn:aws:iam::" + account + ":root"
)

// begin starts an operation on a service and returns its id.
func (b *bench) begin(operation, arn string) string {
	b.Helper()
	return b.ok(operation, arnBody(arn))["OperationId"].(string)
}

// live returns the service's operation in progress as the engine reads it.
func (b *bench) live(arn string) (op slipway.Operation) {
	b.Helper()
	b.Update(func(tx *store.Tx) error {
		v, err := tx.Service(path.Base(arn))
		if err == nil && v.Live != nil {
			op = *v.Live
		}
		return err
	})
	return op
}

func TestCancelOperation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.Clock.Advance(time.Minute)
	id := b.begin("StartDeployment", arn)
	b.Clock.Advance(time.Minute)
	want := parse(t, fmt.Sprintf(`{"Operation":{"Id":%q,"Type":"START_DEPLOYMENT","Status":"PENDING","TargetArn":%q,
		"StartedAt":1800000060.123,"UpdatedAt":1800000060.123,"CancelledBy":%q,"CancelledAt":1800000120.123}}`, id, arn, rootIs))
	if d := cmp.Diff(want, b.OK(cancel, arnBody(arn))); d != "" {
		t.Errorf("the reply (-want +got):\n%s", d)
	}
	if op := b.live(arn); op.Cancel != (slipway.Cancellation{By: rootIs, At: t0.Add(2 * time.Minute).Truncate(time.Millisecond)}) {
		t.Errorf("the engine reads %+v", op.Cancel)
	}
	// Cancelling it again changes nothing, also after its end and by an ARN
	// without the service's id.
	b.Clock.Advance(time.Minute)
	for _, body := range []string{arnBody(arn), arnBody(arn, `"OperationId":"`+id+`"`), arnBody(prefix + "service/shop")} {
		if d := cmp.Diff(want, b.OK(cancel, body)); d != "" {
			t.Errorf("cancelled again with %s (-want +got):\n%s", body, d)
		}
	}
	b.end(arn, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	again := b.OK(cancel, arnBody(arn, `"OperationId":"`+id+`"`))
	if at(t, again, "Operation", "CancelledAt") != 1800000120.123 || at(t, again, "Operation", "Status") != "ROLLBACK_SUCCEEDED" {
		t.Errorf("cancelled after its end: %v", again)
	}
	b.Refused(cancel, arnBody(arn), "InvalidStateException", "Service shop has no operation in progress to cancel.")
}

func TestCancelOperationRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn, other := b.create("shop"), b.create("other")
	for body, message := range map[string]string{
		`{}`:                "ServiceArn is required.",
		arnBody("nonsense"): "",
	} {
		b.Refused(cancel, body, "InvalidRequestException", message)
	}
	b.Refused(cancel, arnBody(noService), "ResourceNotFoundException", "Service not found")
	b.Refused(cancel, arnBody(arn, `"OperationId":"none"`), "ResourceNotFoundException", `service shop has no operation "none"`)
	elsewhere := b.begin("PauseService", other)
	b.Refused(cancel, arnBody(arn, `"OperationId":"`+elsewhere+`"`), "ResourceNotFoundException", "Operation not found")

	id := b.begin("StartDeployment", arn)
	refused := func(message string) {
		t.Helper()
		b.Refused(cancel, arnBody(arn, `"OperationId":"`+id+`"`), "InvalidStateException", message)
		if op := b.live(arn); op.Cancel.Requested() {
			t.Errorf("a refused call cancelled it: %+v", op.Cancel)
		}
	}
	op := b.live(arn)
	b.Update(func(tx *store.Tx) error {
		op.Status = slipway.OperationRollbackInProgress
		return tx.SaveOperation(op)
	})
	refused("Operation " + id + " (START_DEPLOYMENT) can't be cancelled: it has failed and is being rolled back already.")
	b.end(arn, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	refused("it ended at 2027-01-15T08:00:00Z with status ROLLBACK_SUCCEEDED.")

	id = b.begin("StartDeployment", arn)
	b.Update(func(tx *store.Tx) error {
		r := slipway.Release{ID: slipway.NewID(), ServiceID: path.Base(arn), Operation: id, Desired: slipway.DesiredRun, CreatedAt: t0}
		if err := tx.InsertRelease(r); err != nil {
			return err
		}
		return tx.SetActiveRelease(r.ServiceID, r.ID)
	})
	refused("its new version already serves all new requests; to go back, update the service.")
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	id = b.begin("PauseService", arn)
	b.OK(cancel, arnBody(arn))
	b.end(arn, slipway.OperationFailed, slipway.StatusRunning)
	id = b.begin("DeleteService", arn)
	refused("(DELETE_SERVICE) can't be cancelled: a deletion has no rollback.")
}

func TestDescribeOperations(t *testing.T) {
	t.Parallel()
	const describe = "Slipway.DescribeOperations"
	b := newBench(t)
	arn := b.create("shop")
	first := b.begin("PauseService", arn)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
	second := b.begin("ResumeService", arn)
	b.OK(cancel, arnBody(arn))
	list := b.OK(describe, arnBody(arn, fmt.Sprintf(`"OperationIds":[%q,"none",%q]`, second, first)))["Operations"].([]any)
	if len(list) != 2 {
		t.Fatalf("%d operations, want 2: %v", len(list), list)
	}
	if newest := list[0].(map[string]any); newest["Id"] != second || newest["CancelledBy"] != rootIs {
		t.Errorf("the cancelled one: %v", newest)
	}
	if oldest := list[1].(map[string]any); oldest["Id"] != first || oldest["CancelledBy"] != nil || oldest["CancelledAt"] != nil {
		t.Errorf("the other one: %v", oldest)
	}
	b.Refused(describe, `{}`, "InvalidRequestException", "ServiceArn is required.")
	b.Refused(describe, arnBody(arn), "InvalidRequestException", "OperationIds has 0 members; it must have 1 to 100.")
	b.Refused(describe, arnBody(noService, `"OperationIds":["x"]`), "ResourceNotFoundException", "Service not found")
}

// Cancelling is an action of its own, which AWSAppRunnerFullAccess allows.
func TestCancelPermission(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:CancelOperation","Resource":"`+prefix+`service/mine/*"}`)
	mine, theirs := root.create("mine"), root.create("theirs")
	root.begin("PauseService", mine)
	root.begin("PauseService", theirs)
	for _, arn := range []string{theirs, prefix + "service/theirs"} {
		ann.Refused(cancel, arnBody(arn), "AccessDeniedException",
			"User: arn:aws:iam::000000000000:user/ann is not authorized to perform: apprunner:CancelOperation on resource: "+theirs)
	}
	ann.Refused(cancel, arnBody(noService), "AccessDeniedException", noService)
	ann.Refused("Slipway.DescribeOperations", arnBody(mine, `"OperationIds":["x"]`), "AccessDeniedException", "apprunner:DescribeOperations on resource: "+mine)
	if by := at(t, ann.OK(cancel, arnBody(mine)), "Operation", "CancelledBy"); by != "arn:aws:iam::000000000000:user/ann" {
		t.Errorf("cancelled by %v", by)
	}
	if root.live(theirs).Cancel.Requested() {
		t.Error("a refused call cancelled an operation")
	}
}

// The audit record is written with the request to cancel.
func TestCancelIsAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.begin("PauseService", arn)
	var kept auditor
	b.Open([]gateway.Service{b.api.Service()}, func(c *gateway.Config) { c.Audit = &kept })
	b.OK(cancel, arnBody(arn))
	b.Refused(cancel, arnBody(arn, `"OperationId":"none"`), "ResourceNotFoundException", "")
	want := []string{"begun CancelOperation [" + arn + "]", "ended CancelOperation ", "ended CancelOperation ResourceNotFoundException"}
	if d := cmp.Diff(want, kept.calls); d != "" {
		t.Errorf("audited (-want +got):\n%s", d)
	}
}

// auditor notes the calls that it is told of.
type auditor struct{ calls []string }

func (a *auditor) Begun(_ *store.Tx, c gateway.Call) error {
	a.calls = append(a.calls, fmt.Sprint("begun ", c.Operation.Name, " ", c.Resources))
	return nil
}

func (a *auditor) Ended(_ context.Context, c gateway.Call) {
	name := ""
	if c.Exception != nil {
		name = c.Exception.Name
	}
	a.calls = append(a.calls, "ended "+c.Operation.Name+" "+name)
}
