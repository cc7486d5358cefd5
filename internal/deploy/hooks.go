package deploy

import (
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// begin saves which release is active, draws the id of the one that a deployment
// inserts, and writes the operation's first lines.
func (p *Plans) begin(tx *store.Tx, op *slipway.Operation) error {
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	st := state{Previous: v.ActiveRelease}
	if messages[op.Kind].trigger != "" {
		st.Release = slipway.NewID()
	}
	if err := save(op, st); err != nil {
		return err
	}
	w, now := messages[op.Kind], op.StartedAt
	lines := []string{w.started, "Service status is set to OPERATION_IN_PROGRESS."}
	if w.trigger != "" {
		lines = append(lines, fmt.Sprintf("Deployment with ID : %s started. Triggering event : %s", op.ID, w.trigger))
	}
	for _, l := range lines {
		if err := p.logEvent(tx, op, now, serviceStream, l); err != nil {
			return err
		}
	}
	if err := publishStart(tx, op, v.Service); err != nil {
		return err
	}
	if err := p.logEvent(tx, op, now, operationStream, lines[len(lines)-1]); err != nil || w.trigger == "" {
		return err
	}
	spec, err := p.spec(tx, op)
	if err != nil {
		return err
	}
	return p.logEvent(tx, op, now, operationStream, "Deployment Artifact: "+describeSource(spec))
}

// onRollback writes why the operation failed, or who cancelled it.
func (p *Plans) onRollback(tx *store.Tx, op *slipway.Operation) error {
	now, reason := op.UpdatedAt, strings.TrimSuffix(op.Cause, ".")
	if op.Cancel.Requested() {
		line, err := cancelMessage(op)
		if err != nil {
			return err
		}
		return p.logEvent(tx, op, now, bothStreams, line)
	}
	if op.Step == "healthy" {
		if err := p.logUnhealthy(tx, op, now); err != nil {
			return err
		}
	}
	if messages[op.Kind].trigger == "" {
		return p.logEvent(tx, op, now, bothStreams, "Failure reason : "+reason+".")
	}
	line := fmt.Sprintf("Deployment with ID : %s failed. Failure reason : %s.", op.ID, reason)
	if err := p.logEvent(tx, op, now, bothStreams, line); err != nil {
		return err
	}
	spec, err := p.spec(tx, op)
	if err != nil {
		return err
	}
	what := "image"
	if spec.Source.CodeRepository != nil {
		what = "source code"
	}
	return p.logEvent(tx, op, now, operationStream, "Failed to deploy your application "+what+".")
}

// describeSource describes what is deployed as App Runner's logs do.
func describeSource(spec slipway.Spec) string {
	if r, ok := source.RepositoryOf(spec.Source); ok {
		return fmt.Sprintf("[Repo Type: Source], [Branch: %s], [Repository: %s], [SourceDirectory: /%s]", r.Branch, r.URL, r.Directory)
	}
	return fmt.Sprintf("[Repo Type: ECR], [Image URL: %s]", source.ImageIdentifier(spec.Source))
}

// logUnhealthy writes whether an instance ended or none became healthy. The fleet
// has written an end to the service's events already.
func (p *Plans) logUnhealthy(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	r, err := p.targetRelease(tx, op)
	if err != nil {
		return err
	}
	instances, err := tx.InstancesOfRelease(r.ID)
	if err != nil {
		return err
	}
	if exit := firstExit(instances, r); exit != nil {
		line := "Your application stopped or failed to start. See logs for more information."
		if exit.Reason == "" {
			line += fmt.Sprintf(" Container exit code: %d", exit.Code)
		}
		return p.logEvent(tx, op, now, operationStream, line)
	}
	return p.logEvent(tx, op, now, bothStreams, "Health check failed on "+describeHealthCheck(r)+". Check your configured port number.")
}

// finish writes the operation's last lines and sets the service's resting status.
func (p *Plans) finish(tx *store.Tx, op *slipway.Operation) error {
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	w := messages[op.Kind]
	last := w.failed
	if op.Status == slipway.OperationSucceeded {
		last = w.done
		if op.Kind == slipway.UpdateService {
			what, err := p.deployedMessage(tx, op)
			if err != nil {
				return err
			}
			last += " " + what
		}
	}
	rest := restingStatus(*op, v)
	if err := publishEnd(tx, op, v.Service, rest, last); err != nil {
		return err
	}
	if err := p.logEvent(tx, op, op.EndedAt, bothStreams, last); err != nil {
		return err
	}
	if err := p.logEvent(tx, op, op.EndedAt, serviceStream, fmt.Sprintf("Service status is set to %s.", rest)); err != nil {
		return err
	}
	return tx.SetStatus(op.ServiceID, rest, op.EndedAt)
}

// deployedMessage says what an update deployed, as App Runner does: only
// configuration when the image is the same.
func (p *Plans) deployedMessage(tx *store.Tx, op *slipway.Operation) (string, error) {
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

// restingStatus returns the service's status after the operation.
func restingStatus(op slipway.Operation, v slipway.ServiceView) slipway.Status {
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
