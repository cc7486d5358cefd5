package api_test

import (
	"context"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

const rootIs = "arn:aws:iam::" + account + ":root"

// cancellation returns the input that cancels an operation, the one in progress
// if no id is given.
func cancellation(service string, operation ...string) *api.CancelOperationInput {
	in := &api.CancelOperationInput{ServiceArn: &service}
	if len(operation) > 0 {
		in.OperationId = &operation[0]
	}
	return in
}

func (b *bench) cancel(in *api.CancelOperationInput) *api.OperationDescription {
	b.Helper()
	return &invoke[api.CancelOperationOutput](b, in).Operation
}

// pause asks to pause a service and returns the operation's id.
func (b *bench) pause(arn string) string {
	b.Helper()
	return *invoke[apprunner.PauseServiceOutput](b, &apprunner.PauseServiceInput{ServiceArn: &arn}).OperationId
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
	started, cancelled := t0.Add(time.Minute), t0.Add(2*time.Minute)
	b.Clock.Advance(time.Minute)
	id := b.deploy(arn)
	b.Clock.Advance(time.Minute)
	want := api.OperationDescription{
		Id: &id, Type: types.OperationTypeStartDeployment, Status: types.OperationStatusPending, TargetArn: &arn,
		StartedAt: &started, UpdatedAt: &started, CancelledBy: aws.String(rootIs), CancelledAt: &cancelled,
	}
	if d := diff(&want, b.cancel(cancellation(arn))); d != "" {
		t.Errorf("the reply (-want +got):\n%s", d)
	}
	if op := b.live(arn); op.Cancel != (slipway.Cancellation{By: rootIs, At: t0.Add(2 * time.Minute).Truncate(time.Millisecond)}) {
		t.Errorf("the engine reads %+v", op.Cancel)
	}
	// Cancelling it again changes nothing, also after its end and by an ARN
	// without the service's id.
	b.Clock.Advance(time.Minute)
	for _, in := range []*api.CancelOperationInput{cancellation(arn), cancellation(arn, id), cancellation(prefix + "service/shop")} {
		if d := diff(&want, b.cancel(in)); d != "" {
			t.Errorf("cancelled again (-want +got):\n%s", d)
		}
	}
	b.end(arn, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	again := b.cancel(cancellation(arn, id))
	if !again.CancelledAt.Equal(cancelled) || again.Status != types.OperationStatusRollbackSucceeded {
		t.Errorf("cancelled after its end: %v", b.Doc(again))
	}
	b.refuse(cancellation(arn), "InvalidStateException", "Service shop has no operation in progress to cancel.")
}

func TestCancelOperationRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn, other := b.create("shop"), b.create("other")
	b.refuse(&api.CancelOperationInput{}, "InvalidRequestException", "ServiceArn is required.")
	b.refuse(cancellation("nonsense"), "InvalidRequestException", "")
	b.refuse(cancellation(noService), "ResourceNotFoundException", "Service not found")
	b.refuse(cancellation(arn, "none"), "ResourceNotFoundException", `service shop has no operation "none"`)
	b.refuse(cancellation(arn, b.pause(other)), "ResourceNotFoundException", "Operation not found")

	id := b.deploy(arn)
	refused := func(message string) {
		t.Helper()
		b.refuse(cancellation(arn, id), "InvalidStateException", message)
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

	id = b.deploy(arn)
	b.Update(func(tx *store.Tx) error {
		r := slipway.Release{ID: slipway.NewID(), ServiceID: path.Base(arn), Operation: id, Desired: slipway.DesiredRun, CreatedAt: t0}
		if err := tx.InsertRelease(r); err != nil {
			return err
		}
		return tx.SetActiveRelease(r.ServiceID, r.ID)
	})
	refused("its new version already serves all new requests; to go back, update the service.")
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	b.pause(arn)
	b.cancel(cancellation(arn))
	b.end(arn, slipway.OperationFailed, slipway.StatusRunning)
	id = *b.delete(arn).OperationId
	refused("(DELETE_SERVICE) can't be cancelled: a deletion has no rollback.")
}

func TestDescribeOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	first := b.pause(arn)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
	second := *invoke[apprunner.ResumeServiceOutput](b, &apprunner.ResumeServiceInput{ServiceArn: &arn}).OperationId
	b.cancel(cancellation(arn))
	list := invoke[api.DescribeOperationsOutput](b, &api.DescribeOperationsInput{ServiceArn: &arn, OperationIds: []string{second, "none", first}}).Operations
	if len(list) != 2 {
		t.Fatalf("%d operations, want 2: %v", len(list), list)
	}
	if newest := list[0]; *newest.Id != second || aws.ToString(newest.CancelledBy) != rootIs {
		t.Errorf("the cancelled one: %v", b.Doc(newest))
	}
	if oldest := list[1]; *oldest.Id != first || oldest.CancelledBy != nil || oldest.CancelledAt != nil {
		t.Errorf("the other one: %v", b.Doc(oldest))
	}
	b.refuse(&api.DescribeOperationsInput{}, "InvalidRequestException", "ServiceArn is required.")
	b.refuse(&api.DescribeOperationsInput{ServiceArn: &arn}, "InvalidRequestException", "OperationIds has 0 members; it must have 1 to 100.")
	b.refuse(&api.DescribeOperationsInput{ServiceArn: aws.String(noService), OperationIds: []string{"x"}}, "ResourceNotFoundException", "Service not found")
}

// Cancelling has its own action, which AWSAppRunnerFullAccess allows.
func TestCancelPermission(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:CancelOperation","Resource":"`+prefix+`service/mine/*"}`)
	mine, theirs := root.create("mine"), root.create("theirs")
	root.pause(mine)
	root.pause(theirs)
	for _, arn := range []string{theirs, prefix + "service/theirs"} {
		ann.refuse(cancellation(arn), "AccessDeniedException",
			"User: arn:aws:iam::000000000000:user/ann is not authorized to perform: apprunner:CancelOperation on resource: "+arn+" because")
	}
	ann.refuse(cancellation(noService), "AccessDeniedException", noService)
	ann.refuse(&api.DescribeOperationsInput{ServiceArn: &mine, OperationIds: []string{"x"}}, "AccessDeniedException", "apprunner:DescribeOperations on resource: "+mine)
	if by := aws.ToString(ann.cancel(cancellation(mine)).CancelledBy); by != "arn:aws:iam::000000000000:user/ann" {
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
	b.pause(arn)
	var kept auditor
	b.Open([]gateway.Service{b.api.Service()}, func(c *gateway.Config) { c.Audit = &kept })
	b.cancel(cancellation(arn))
	b.refuse(cancellation(arn, "none"), "ResourceNotFoundException", "")
	want := []string{"begun CancelOperation [" + arn + "]", "ended CancelOperation ", "ended CancelOperation ResourceNotFoundException"}
	if d := cmp.Diff(want, kept.calls); d != "" {
		t.Errorf("audited (-want +got):\n%s", d)
	}
}

// auditor records the calls that it is notified of.
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

func (*auditor) Refused(context.Context, gateway.Call) {}
