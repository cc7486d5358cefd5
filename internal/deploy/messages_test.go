package deploy_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/store"
)

// TestLines holds what operations write to the service's events and to their
// own streams, word for word: tools search them.
func TestLines(t *testing.T) {
	const one, serves = "one", slipway.StatusRunning
	failed := slipway.OperationRollbackSucceeded
	crashed := "the process exited with code 1 after 0.3 s; its last lines were: cannot reach the database"
	unhealthy := "it took longer than 5m0s: 0 of 1 instances passed the health check on protocol `TCP` [Port: '8080']; nothing listens on port 8080"
	for _, c := range []struct {
		op     testOperation
		events []string // ID stands for the operation's id
		own    []string
	}{
		{
			testOperation{slipway.UpdateService, one, slipway.OperationSucceeded, serves, one, ""},
			[]string{
				"Service update started.",
				"Service status is set to OPERATION_IN_PROGRESS.",
				"Deployment with ID : ID started. Triggering event : SERVICE_UPDATE",
				"Pulling image one.",
				"Successfully pulled your application image (one).",
				"Provisioning instances and deploying image for publicly accessible service.",
				"Performing health check on protocol `TCP` [Port: '8080'].",
				"Health check is successful. Routing traffic to application.",
				"Successfully routed incoming traffic to application.",
				"Service update completed successfully. New configuration is deployed.",
				"Service status is set to RUNNING.",
			},
			[]string{
				"Deployment with ID : ID started. Triggering event : SERVICE_UPDATE",
				"Deployment Artifact: [Repo Type: ECR], [Image URL: one]",
				"Pulling image one.",
				"looking for one",
				"Successfully pulled your application image (one).",
				"Provisioning instances and deploying image for publicly accessible service.",
				"Performing health check on protocol `TCP` [Port: '8080'].",
				"Health check is successful. Routing traffic to application.",
				"Successfully routed incoming traffic to application.",
				"Service update completed successfully. New configuration is deployed.",
			},
		},
		{
			testOperation{slipway.UpdateService, "two", slipway.OperationSucceeded, serves, "two", ""},
			[]string{
				"Service update completed successfully. New application and configuration is deployed.",
				"Service status is set to RUNNING.",
			},
			[]string{"Service update completed successfully. New application and configuration is deployed."},
		},
		{
			testOperation{slipway.UpdateService, "crash", failed, serves, one, crashed},
			[]string{
				"Performing health check on protocol `TCP` [Port: '8080'].",
				"Deployment with ID : ID failed. Failure reason : " + crashed + ".",
				"Service update failed. For details, see service logs.",
				"Service status is set to RUNNING.",
			},
			[]string{
				"Performing health check on protocol `TCP` [Port: '8080'].",
				"Your application stopped or failed to start. See logs for more information. Container exit code: 1",
				"Deployment with ID : ID failed. Failure reason : " + crashed + ".",
				"Failed to deploy your application image.",
				"Service update failed. For details, see service logs.",
			},
		},
		{
			testOperation{slipway.UpdateService, "silent", failed, serves, one, unhealthy},
			[]string{
				"Health check failed on protocol `TCP` [Port: '8080']. Check your configured port number.",
				"Deployment with ID : ID failed. Failure reason : " + unhealthy + ".",
				"Service update failed. For details, see service logs.",
				"Service status is set to RUNNING.",
			},
			[]string{
				"Health check failed on protocol `TCP` [Port: '8080']. Check your configured port number.",
				"Deployment with ID : ID failed. Failure reason : " + unhealthy + ".",
				"Failed to deploy your application image.",
				"Service update failed. For details, see service logs.",
			},
		},
		{
			testOperation{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""},
			[]string{
				"Service pause started.", "Service status is set to OPERATION_IN_PROGRESS.",
				"Service pause completed successfully.", "Service status is set to PAUSED.",
			},
			[]string{"Service status is set to OPERATION_IN_PROGRESS.", "Service pause completed successfully."},
		},
	} {
		t.Run(string(c.op.kind)+" "+c.op.image, func(t *testing.T) {
			events, own := lines(t, c.op)
			tail := func(all []string, n int) []string { return all[max(0, len(all)-n):] }
			if diff := cmp.Diff(c.events, tail(events, len(c.events))); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.own, tail(own, len(c.own))); diff != "" {
				t.Errorf("the operation's own stream (-want +got):\n%s", diff)
			}
		})
	}
}

// lines creates a service, executes one more operation and returns what was written.
func lines(t *testing.T, c testOperation) (events, own []string) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		st, running := newStore(t)
		start(t, running, ctx, st, &resolver{tries: map[string]int{}}, nil, "a", nil)
		id := create(t, st)
		first := testOperation{slipway.CreateService, "one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""}
		first.run(t, st, id)
		c.run(t, st, id)
		err := st.View(ctx, func(tx *store.Tx) error {
			ops, err := tx.OperationsOf(id, time.Time{}, "", 0)
			if err != nil {
				return err
			}
			op := ops[slices.IndexFunc(ops, func(o slipway.Operation) bool { return o.Kind == c.kind })]
			for stream, to := range map[string]*[]string{"events": &events, deploy.Stream(op): &own} {
				list, err := tx.EventsByTime(store.EventQuery{ServiceID: id, Stream: stream})
				if err != nil {
					return err
				}
				for _, e := range list {
					*to = append(*to, strings.ReplaceAll(e.Text, op.ID, "ID"))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return events, own
}
