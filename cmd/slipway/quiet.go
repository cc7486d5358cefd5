package main

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/term"
)

// quiet shows the lines of a deployment of code in short: the output of the build only
// in the status line, and after a failure its end.
type quiet struct {
	p    *term.Progress
	all  bool   // show every line
	now  string // what happens at the moment; "" if no line says it
	tail []string
	seen map[string]bool // lines of the service that were shown
}

// tailLines is how much of a build's output is shown after a failure.
const tailLines = 20

// expected are the beginnings of the service's lines that each deployment of code has.
func expected(text string) bool {
	for _, begin := range []string{
		"Deployment with ID", "Deployment Artifact", "Pulling source code", "Successfully pulled", "Commit ", "Upload ",
		"There is no apprunner.yaml", "Reading apprunner.yaml", "Successfully validate", "Detected: ", "Starting ", "The runtime ",
		"warning: ", // detection's own: they were shown before
		"Provisioning ", "Performing health check", "Successfully routed", "Service creation completed", "Service update completed", "Deployment completed",
	} {
		if strings.HasPrefix(text, begin) {
			return !strings.Contains(text, "is being made")
		}
	}
	return false
}

// passing are the beginnings of the service's lines that say what happens at the
// moment, in work that takes long.
func passing(text string) bool { return strings.HasPrefix(text, "Making ") }

// line takes a line of the operation's log or of its build's output, and the time since
// the operation began.
func (q *quiet) line(message string, after time.Duration) {
	text, service := strings.CutPrefix(message, "[AppRunner] ")
	output := !service && strings.HasPrefix(message, "[")
	switch {
	case q.all:
	case output:
		q.tail = append(q.tail, message)
		q.tail = q.tail[max(0, len(q.tail)-tailLines):]
		q.now = message
		return
	case passing(text):
		q.now = text
		return
	case expected(text) || q.seen[text]:
		q.now = ""
		return
	}
	q.now = ""
	if q.seen == nil {
		q.seen = map[string]bool{}
	}
	q.seen[text] = true
	if strings.HasPrefix(text, "Successfully built") {
		q.tail = nil // what fails now is the application
	}
	q.p.Step(after, text)
}

// status shows what an operation that began some time ago does at the moment.
func (q *quiet) status(since time.Duration, status types.OperationStatus) {
	what := q.now
	if what == "" {
		what = strings.ToLower(strings.ReplaceAll(string(status), "_", " "))
	}
	q.p.Status("%10s  %s", term.Took(since), what)
}

// failed shows the end of the build's output.
func (q *quiet) failed() {
	for _, line := range q.tail {
		q.p.Say(term.Faint, "          %s", line)
	}
	q.tail = nil
}
