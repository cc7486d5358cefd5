package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// failure returns the error of an operation that did not succeed: what happened, then
// why, and the command to try.
func (r *result) failure(op operation) error {
	if r.summary.Status == types.OperationStatusSucceeded {
		return nil
	}
	how := "failed"
	switch r.summary.Status {
	case types.OperationStatusRollbackSucceeded:
		how = "failed and was rolled back: the previous version keeps serving"
	case types.OperationStatusRollbackFailed:
		how = "failed, and its rollback failed too"
	}
	p := &client.Problem{Text: fmt.Sprintf("%s of %s %s (%s after %s)", r.summary.Type, op.name, how, r.summary.Status, took(r.summary))}
	lines := term.Lines(withoutTail(r.reason))
	switch {
	case len(lines) == 0:
	case strings.HasPrefix(lines[0], "Failed to "): // has its own "Reason:"
		p.Text += "\n" + strings.Join(lines, "\n")
	default:
		p.Text += "\nReason: " + strings.Join(lines, "\n")
	}
	p.Hint = remedy(op, r.reason, aws.ToString(r.summary.Id))
	return p
}

// withoutTail returns a reason without the application's last lines, which progress has
// shown.
func withoutTail(reason string) string {
	before, _, _ := strings.Cut(reason, "; its last lines were: ")
	return before
}

// listening is in the reason of an application that listens on another port.
var listening = regexp.MustCompile(`the application listens on port ([0-9]{1,5})\b`)

// remedy returns the command to try after a failure.
func remedy(op operation, reason, id string) string {
	up := "slipway up " + op.name // what the service is deployed from, with other settings
	if op.source != "" && op.source != op.name {
		up = "slipway up " + shellQuote(op.source) + " --name " + op.name
	}
	switch m := listening.FindStringSubmatch(reason); {
	case m != nil:
		return fmt.Sprintf("Try `%s --port %s`.", up, m[1])
	case strings.Contains(reason, "used more memory than"):
		return fmt.Sprintf("Try `%s --memory` with more than it has now; `slipway describe %s` shows that.", up, op.name)
	case strings.Contains(reason, "the process could not run: exec "): // it wrote nothing
		return fmt.Sprintf("Try `%s --start-command COMMAND` with a program of the image.", up)
	case strings.Contains(reason, "the process "):
		return fmt.Sprintf("Try `slipway logs %s` to see all that the application wrote.", op.name)
	}
	return fmt.Sprintf("Try `slipway logs %s --deployment %s` to see its steps.", op.name, id)
}
