package deploy_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

const (
	webhook    = "hook"
	serviceARN = "arn:aws:apprunner:us-east-1:123456789012:service/shop/8fe1e10304f84fd2b0df550fe98a71fa"
)

// busEvent is what is compared of an event.
type busEvent struct{ Type, From, To, Operation, Message, Severity string }

// events returns the events that a lifecycle makes, as App Runner documents them.
func (s lifecycle) events() (list []busEvent) {
	names := map[slipway.OperationKind]string{
		slipway.CreateService: "CreateService", slipway.UpdateService: "UpdateService", slipway.StartDeployment: "Deployment",
		slipway.PauseService: "PauseService", slipway.ResumeService: "ResumeService", slipway.DeleteService: "DeleteService",
	}
	messages := map[string]string{
		"CreateServiceStarted": "Service creation started.", "CreateServiceCompletedSuccessfully": "Service creation completed successfully.",
		"CreateServiceFailed":  "Service creation failed. For details, see service logs.",
		"DeleteServiceStarted": "Service deletion started.", "DeleteServiceCompletedSuccessfully": "Service deletion completed successfully.",
		"UpdateServiceStarted":               "Service update started.",
		"UpdateServiceCompletedSuccessfully": "Service update completed successfully. New application and configuration is deployed.",
		"UpdateServiceFailed":                "Service update failed. For details, see service logs.",
		"DeploymentStarted":                  "Deployment started.", "DeploymentCompletedSuccessfully": "Deployment completed successfully.",
		"PauseServiceStarted": "Service pause started.", "PauseServiceCompletedSuccessfully": "Service pause completed successfully.",
		"ResumeServiceStarted": "Service resume started.", "ResumeServiceCompletedSuccessfully": "Service resume completed successfully.",
	}
	const operation, status = "AppRunner Service Operation Status Change", "AppRunner Service Status Change"
	rest, serves := "", ""
	for _, c := range s.operations {
		started, ended, severity := names[c.kind]+"Started", names[c.kind]+"CompletedSuccessfully", "INFO"
		message := messages[ended]
		if c.status != slipway.OperationSucceeded {
			ended, severity = names[c.kind]+"Failed", "ERROR"
			message = messages[ended]
		} else if c.kind == slipway.UpdateService && c.serves == serves {
			message = "Service update completed successfully. New configuration is deployed."
		}
		list = append(list,
			busEvent{operation, "", "", started, messages[started], "INFO"},
			busEvent{status, rest, "OPERATION_IN_PROGRESS", "", "Service status is set to OPERATION_IN_PROGRESS.", "INFO"},
			busEvent{operation, "", "", ended, message, severity},
			busEvent{status, "OPERATION_IN_PROGRESS", string(c.rest), "", "Service status is set to " + string(c.rest) + ".", "INFO"},
		)
		rest, serves = string(c.rest), c.serves
	}
	return list
}

// checkEvents checks that each event of a lifecycle waits for the webhook once
// and in order, at whichever point the engine was killed.
func checkEvents(t *testing.T, st *store.Store, s lifecycle) {
	t.Helper()
	var list []slipway.Delivery
	err := st.View(t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Deliveries(webhook, 0, 1000); return err })
	if err != nil {
		t.Fatal(err)
	}
	var got []busEvent
	for _, d := range slices.Backward(list) {
		var body struct {
			Version, ID, Source, Account, Time, Region string
			DetailType                                 string `json:"detail-type"`
			Resources                                  []string
			Detail                                     struct {
				PreviousServiceStatus, CurrentServiceStatus, OperationStatus string
				ServiceName, ServiceID, Message, Severity                    string
			}
		}
		if err := json.Unmarshal(d.Event.Body, &body); err != nil {
			t.Fatalf("%s: %v", d.Event.Body, err)
		}
		if body.Version != "0" || body.ID != d.Event.ID || body.Source != "aws.apprunner" || body.Account != "123456789012" ||
			body.Region != "us-east-1" || body.Time != d.Event.At.Format("2006-01-02T15:04:05Z") ||
			!slices.Equal(body.Resources, []string{serviceARN}) || body.Detail.ServiceName != "shop" || body.Detail.ServiceID != d.Event.ServiceID {
			t.Errorf("event %s", d.Event.Body)
		}
		b := body.Detail
		got = append(got, busEvent{body.DetailType, b.PreviousServiceStatus, b.CurrentServiceStatus, b.OperationStatus, b.Message, b.Severity})
	}
	if d := cmp.Diff(s.events(), got); d != "" {
		t.Errorf("events differ (-want +got):\n%s", d)
	}
}
