package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Where a line goes: the service's events, the operation's own log, or both.
type where int

const (
	events where = 1 << iota
	detail
	both = events | detail
)

// words are how App Runner's logs name a kind of operation.
type words struct {
	stream  string // of the operation's own log: <stream>/<operation id>
	event   string // begins the operation status of its bus events
	started string // first event
	done    string // last event when it succeeded
	failed  string // last event when it failed
	trigger string // of a deployment
}

var wording = map[slipway.OperationKind]words{
	slipway.CreateService: {
		"deployment", "CreateService", "Service creation started.", "Service creation completed successfully.",
		"Service creation failed. For details, see service logs.", "SERVICE_CREATE",
	},
	slipway.UpdateService: {
		"deployment", "UpdateService", "Service update started.", "Service update completed successfully.",
		"Service update failed. For details, see service logs.", "SERVICE_UPDATE",
	},
	slipway.StartDeployment: {
		"deployment", "Deployment", "Deployment started.", "Deployment completed successfully.",
		"Deployment failed. For details, see service logs.", "SERVICE_DEPLOY",
	},
	slipway.PauseService: {
		"pause", "PauseService", "Service pause started.", "Service pause completed successfully.",
		"Service pause failed.", "",
	},
	slipway.ResumeService: {
		"resume", "ResumeService", "Service resume started.", "Service resume completed successfully.",
		"Service resume failed.", "",
	},
	slipway.DeleteService: {
		"delete", "DeleteService", "Service deletion started.", "Service deletion completed successfully.",
		"Service deletion failed.", "",
	},
}

// Stream returns the name of the log stream of an operation.
func Stream(op slipway.Operation) string { return wording[op.Kind].stream + "/" + op.ID }

// tell writes a line in the transaction of what it tells.
func (p *Plans) tell(tx *store.Tx, op *slipway.Operation, now time.Time, to where, line string) error {
	e := slipway.Event{ServiceID: op.ServiceID, Operation: op.ID, At: now, Text: line}
	if to&events != 0 {
		e.Stream = "events"
		if err := tx.InsertEvent(e); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
	}
	if to&detail != 0 {
		e.Stream = Stream(*op)
		if err := tx.InsertEvent(e); err != nil {
			return fmt.Errorf("write a deployment line: %w", err)
		}
	}
	return nil
}

// say is tell from a work step, which has no transaction.
func (p *Plans) say(ctx context.Context, op *slipway.Operation, to where, line string) error {
	return p.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error { return p.tell(tx, op, time.Now(), to, line) })
}

// begin notes which release serves and opens the operation's story.
func (p *Plans) begin(tx *store.Tx, op *slipway.Operation) error {
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	if err := save(op, state{Previous: v.ActiveRelease}); err != nil {
		return err
	}
	w, now := wording[op.Kind], op.StartedAt
	lines := []string{w.started, "Service status is set to OPERATION_IN_PROGRESS."}
	if w.trigger != "" {
		lines = append(lines, fmt.Sprintf("Deployment with ID : %s started. Triggering event : %s", op.ID, w.trigger))
	}
	for _, l := range lines {
		if err := p.tell(tx, op, now, events, l); err != nil {
			return err
		}
	}
	if err := publishBegin(tx, op, v.Service); err != nil {
		return err
	}
	if err := p.tell(tx, op, now, detail, lines[len(lines)-1]); err != nil || w.trigger == "" {
		return err
	}
	spec, err := p.spec(tx, op)
	if err != nil {
		return err
	}
	return p.tell(tx, op, now, detail, fmt.Sprintf("Deployment Artifact: [Repo Type: ECR], [Image URL: %s]", imageOf(spec)))
}

// turn tells why the operation failed, when it does.
func (p *Plans) turn(tx *store.Tx, op *slipway.Operation) error {
	now, reason := op.UpdatedAt, strings.TrimSuffix(op.Cause, ".")
	if op.Step == "healthy" {
		if err := p.tellUnhealthy(tx, op, now); err != nil {
			return err
		}
	}
	if wording[op.Kind].trigger == "" {
		return p.tell(tx, op, now, both, "Failure reason : "+reason+".")
	}
	line := fmt.Sprintf("Deployment with ID : %s failed. Failure reason : %s.", op.ID, reason)
	if err := p.tell(tx, op, now, both, line); err != nil {
		return err
	}
	return p.tell(tx, op, now, detail, "Failed to deploy your application image.")
}

// tellUnhealthy tells whether nothing healthy came of the instances or one of
// them ended, which the fleet has told the service's events already.
func (p *Plans) tellUnhealthy(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	r, err := p.target(tx, op)
	if err != nil {
		return err
	}
	instances, err := tx.InstancesOfRelease(r.ID)
	if err != nil {
		return err
	}
	if exit := firstExit(instances, op); exit != nil {
		line := "Your application stopped or failed to start. See logs for more information."
		if exit.Reason == "" {
			line += fmt.Sprintf(" Container exit code: %d", exit.Code)
		}
		return p.tell(tx, op, now, detail, line)
	}
	return p.tell(tx, op, now, both, "Health check failed on "+describe(r)+". Check your configured port number.")
}

// finish closes the story and sets the service's resting status.
func (p *Plans) finish(tx *store.Tx, op *slipway.Operation) error {
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	w := wording[op.Kind]
	last := w.failed
	if op.Status == slipway.OperationSucceeded {
		last = w.done
		if op.Kind == slipway.UpdateService {
			what, err := p.deployed(tx, op)
			if err != nil {
				return err
			}
			last += " " + what
		}
	}
	rest := resting(*op, v)
	if err := publishEnd(tx, op, v.Service, rest, last); err != nil {
		return err
	}
	if err := p.tell(tx, op, op.EndedAt, both, last); err != nil {
		return err
	}
	if err := p.tell(tx, op, op.EndedAt, events, fmt.Sprintf("Service status is set to %s.", rest)); err != nil {
		return err
	}
	return tx.SetStatus(op.ServiceID, rest, op.EndedAt)
}

// deployed says what an update brought, as App Runner does: with the image that
// ran before, nothing but configuration.
func (p *Plans) deployed(tx *store.Tx, op *slipway.Operation) (string, error) {
	st, err := load(op)
	if err != nil {
		return "", err
	}
	if st.Previous != "" {
		is, err := tx.Release(st.Release)
		if err != nil {
			return "", err
		}
		was, err := tx.Release(st.Previous)
		if err != nil {
			return "", err
		}
		if is.Image == was.Image {
			return "New configuration is deployed.", nil
		}
	}
	return "New application and configuration is deployed.", nil
}

// resting is the status a service has once the operation has ended.
func resting(op slipway.Operation, v store.ServiceView) slipway.Status {
	ok := op.Status == slipway.OperationSucceeded
	switch op.Kind {
	case slipway.PauseService:
		if ok {
			return slipway.StatusPaused
		}
		return slipway.StatusRunning
	case slipway.ResumeService:
		if ok {
			return slipway.StatusRunning
		}
		return slipway.StatusPaused
	case slipway.DeleteService:
		if ok {
			return slipway.StatusDeleted
		}
		return slipway.StatusDeleteFailed
	}
	if ok || v.ActiveRelease != "" {
		return slipway.StatusRunning
	}
	return slipway.StatusCreateFailed
}
