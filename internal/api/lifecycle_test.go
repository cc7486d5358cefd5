package api_test

import (
	"errors"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// What each call does in each state: it starts an "operation", it succeeds and
// does "nothing", or it fails with an exception and its message.
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
					b.deploy(arn)
				} else {
					b.Update(func(tx *store.Tx) error { return tx.SetStatus(path.Base(arn), st, t0) })
				}
				b.describe(arn)
				b.operations(arn)
				b.must(&apprunner.DescribeCustomDomainsInput{ServiceArn: &arn})
				b.must(&apprunner.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("k", "v")}})
				if got := b.outcomeOf(operation, arn, st); got != outcome {
					t.Errorf("got %s\nwant %s", got, outcome)
				}
			})
		}
	}
}

// deploy starts a deployment and returns its operation's id.
func (b *bench) deploy(arn string) string {
	b.Helper()
	return *invoke[apprunner.StartDeploymentOutput](b, &apprunner.StartDeploymentInput{ServiceArn: &arn}).OperationId
}

// operations returns a service's operations as ListOperations does.
func (b *bench) operations(arn string) []types.OperationSummary {
	b.Helper()
	return invoke[apprunner.ListOperationsOutput](b, &apprunner.ListOperationsInput{ServiceArn: &arn}).OperationSummaryList
}

// outcomeOf makes a call on a service that is in a state and returns its outcome
// in the words of [TestStates].
func (b *bench) outcomeOf(operation, arn string, before slipway.Status) string {
	b.Helper()
	in := map[string]any{
		"UpdateService": &apprunner.UpdateServiceInput{
			ServiceArn: &arn, InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("1024")},
		},
		"StartDeployment": &apprunner.StartDeploymentInput{ServiceArn: &arn},
		"PauseService":    &apprunner.PauseServiceInput{ServiceArn: &arn},
		"ResumeService":   &apprunner.ResumeServiceInput{ServiceArn: &arn},
		"DeleteService":   &apprunner.DeleteServiceInput{ServiceArn: &arn},
	}[operation]
	out, err := b.Invoke("apprunner:"+operation, in)
	if err != nil {
		e, ok := errors.AsType[*wire.Exception](err)
		if !ok {
			b.Fatal(err)
		}
		return e.Name + " " + e.Message
	}
	var service *types.Service
	var id *string
	switch o := out.(type) {
	case *apprunner.UpdateServiceOutput:
		service, id = o.Service, o.OperationId
	case *apprunner.StartDeploymentOutput:
		service, id = b.describe(arn), o.OperationId
	case *apprunner.PauseServiceOutput:
		service, id = o.Service, o.OperationId
	case *apprunner.ResumeServiceOutput:
		service, id = o.Service, o.OperationId
	case *apprunner.DeleteServiceOutput:
		service, id = o.Service, o.OperationId
	}
	switch {
	case id != nil && service.Status == types.ServiceStatusOperationInProgress:
		return "operation"
	case id == nil && string(service.Status) == string(before):
		return "nothing"
	}
	return fmt.Sprint(b.Doc(out))
}

func TestOneOperationAtATimeUnderRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	began := b.race(func() any { return &apprunner.PauseServiceInput{ServiceArn: &arn} },
		"InvalidStateException", "Service cannot be paused in the current state: OPERATION_IN_PROGRESS.")
	if began != 1 {
		t.Errorf("%d operations began", began)
	}
}

func TestListOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	finish := func() {
		b.Clock.Advance(time.Second)
		b.end(arn, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	}
	b.Clock.Advance(time.Minute)
	b.deploy(arn)
	finish()
	b.Clock.Advance(time.Minute)
	update := *invoke[apprunner.UpdateServiceOutput](b, &apprunner.UpdateServiceInput{
		ServiceArn: &arn, InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("1024")},
	}).OperationId
	finish()
	b.Clock.Advance(time.Minute)
	pause := *invoke[apprunner.PauseServiceOutput](b, &apprunner.PauseServiceInput{ServiceArn: &arn}).OperationId
	list := b.operations(arn)
	if len(list) != 4 {
		t.Fatalf("%d operations, want 4", len(list))
	}
	updated, paused := t0.Add(122*time.Second), t0.Add(182*time.Second)
	want := []types.OperationSummary{
		{Id: &pause, Type: types.OperationTypePauseService, Status: types.OperationStatusPending, TargetArn: &arn, StartedAt: &paused, UpdatedAt: &paused},
		{
			Id: &update, Type: types.OperationTypeUpdateService, Status: types.OperationStatusRollbackSucceeded, TargetArn: &arn,
			StartedAt: aws.Time(updated.Add(-time.Millisecond)), UpdatedAt: &updated, EndedAt: &updated,
		},
	}
	if d := diff(want, list[:2]); d != "" {
		t.Errorf("the newest two (-want +got):\n%s", d)
	}
	if last := list[3].Type; last != types.OperationTypeCreateService {
		t.Errorf("the oldest operation is %s", last)
	}
	b.refuse(&apprunner.ListOperationsInput{ServiceArn: aws.String(noService)}, "ResourceNotFoundException", "Service not found")
}

// UpdatedAt is the time of the last change of the status, so also that of a call
// that starts an operation.
func TestUpdatedAt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.Clock.Advance(time.Minute)
	started, ended := t0.Add(time.Minute), t0.Add(time.Minute+time.Second)
	if got := *invoke[apprunner.PauseServiceOutput](b, &apprunner.PauseServiceInput{ServiceArn: &arn}).Service.UpdatedAt; !got.Equal(started) {
		t.Errorf("UpdatedAt is %v after PauseService, want %v", got, started)
	}
	if got := *b.describe(arn).UpdatedAt; !got.Equal(started) {
		t.Errorf("UpdatedAt is %v while the operation is live, want %v", got, started)
	}
	b.Clock.Advance(time.Second)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
	if got := *b.describe(arn).UpdatedAt; !got.Equal(ended) {
		t.Errorf("UpdatedAt is %v after the operation, want %v", got, ended)
	}
}
