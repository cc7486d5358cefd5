package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// streams are the log streams that a line goes to: the service's events, the
// operation's own log, or both.
type streams int

const (
	serviceStream streams = 1 << iota
	operationStream
	bothStreams = serviceStream | operationStream
)

// messageSet holds what App Runner's logs and events say of a kind of operation.
type messageSet struct {
	stream  string // the operation's log is <stream>/<operation id>
	event   string // prefix of the operation status in bus events
	started string // first line in the service's events
	done    string // last line when it succeeded
	failed  string // last line when it failed
	trigger string // what triggered the deployment; "" for other operations
}

var messages = map[slipway.OperationKind]messageSet{
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
func Stream(op slipway.Operation) string { return messages[op.Kind].stream + "/" + op.ID }

// cancelMessage says who cancelled an operation and what its rollback does.
func cancelMessage(op *slipway.Operation) (string, error) {
	switch op.Kind {
	case slipway.PauseService:
		return "The pause was cancelled by " + op.Cancel.By + "; routing requests to the service again.", nil
	case slipway.ResumeService:
		return "The resume was cancelled by " + op.Cancel.By + "; the service stays paused.", nil
	case slipway.DeleteService: // the API accepts no request for it
		return "The deletion was cancelled by " + op.Cancel.By + ".", nil
	}
	st, err := load(op)
	if err != nil {
		return "", err
	}
	if st.Previous == "" {
		return "The deployment was cancelled by " + op.Cancel.By + "; there is no previous version to roll back to.", nil
	}
	return "The deployment was cancelled by " + op.Cancel.By + "; rolling back to the previous version.", nil
}

// logEvent writes a line to streams in tx, with the change that it reports.
func (p *Plans) logEvent(tx *store.Tx, op *slipway.Operation, now time.Time, to streams, line string) error {
	e := slipway.Event{ServiceID: op.ServiceID, Operation: op.ID, At: now, Text: line}
	if to&serviceStream != 0 {
		e.Stream = "events"
		if err := tx.InsertEvent(e); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
	}
	if to&operationStream != 0 {
		e.Stream = Stream(*op)
		if err := tx.InsertEvent(e); err != nil {
			return fmt.Errorf("write a deployment line: %w", err)
		}
	}
	return nil
}

// waiting writes to the logs why the instances that an operation started are not
// healthy yet, so that people need not wait for the end of its limit.
func (p *Plans) waiting(tx *store.Tx, op *slipway.Operation, _ string) error {
	if op.Step != stepHealthy {
		return nil
	}
	r, err := p.targetRelease(tx, op)
	if err != nil {
		return err
	}
	instances, err := tx.InstancesOfRelease(r.ID)
	if err != nil {
		return err
	}
	if problem := problemOf(instances, r); problem != "" {
		return p.logEvent(tx, op, p.cfg.Now(), bothStreams, "The health check does not pass yet: "+problem+".")
	}
	return nil
}

// logProgress is logEvent for work steps, which have no transaction. A power loss
// may undo it.
func (p *Plans) logProgress(ctx context.Context, op *slipway.Operation, to streams, line string) error {
	return p.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error { return p.logEvent(tx, op, p.cfg.Now(), to, line) })
}

// describeHealthCheck describes a release's health check as App Runner's logs do.
func describeHealthCheck(r slipway.Release) string {
	if r.HealthCheck.HTTP {
		return fmt.Sprintf("protocol `HTTP` [Path: '%s'], [Port: '%d']", r.HealthCheck.Path, r.Port)
	}
	return fmt.Sprintf("protocol `TCP` [Port: '%d']", r.Port)
}

// exitReason describes the exit of an instance's process as a cause that a person
// can act on.
func exitReason(e slipway.Exit) string {
	var b strings.Builder
	switch {
	case e.OOM:
		b.WriteString("the process was killed because it used more memory than the service has")
	case e.Reason != "" && e.Ran > 0:
		b.WriteString("the instance was stopped: " + e.Reason)
	case e.Reason != "":
		b.WriteString("the process could not run: " + e.Reason)
	case e.Signal != "":
		fmt.Fprintf(&b, "the process was killed by %s", e.Signal)
	default:
		fmt.Fprintf(&b, "the process exited with code %d", e.Code)
	}
	if e.Ran > 0 && e.Reason == "" {
		fmt.Fprintf(&b, " after %.1f s", e.Ran.Seconds())
	}
	if e == (slipway.Exit{At: e.At, Ran: e.Ran, Tail: e.Tail}) {
		b.WriteString(": a service runs until it is stopped, so its program must stay in the foreground")
	}
	if tail := strings.TrimSpace(e.Tail); tail != "" {
		b.WriteString("; its last lines were: " + tail)
	} else if e.Reason == "" {
		b.WriteString("; it wrote nothing")
	}
	return b.String()
}
