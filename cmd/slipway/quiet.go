package main

import (
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/term"
)

// quiet shows an operation in short: a line for each phase, what the service's lines say
// beside what every operation's do, and the output of a build only in the status line
// and, after a failure, its end. App Runner's own sentences are in `slipway logs` and in
// --json.
type quiet struct {
	p    *term.Progress
	all  bool   // show every line
	now  string // what happens at the moment; "" if no line says it
	tail []string
	seen map[string]bool // lines of the service that were shown

	reason   string // of the failure, if a line says it
	starting bool   // instances start, and write
}

// tailLines is how much of a build's and an application's output is shown after a failure.
const tailLines = 20

// expected are the beginnings of the service's lines that operations have whatever
// happens, and of those about a failure, whose reason is said at the end.
func expected(text string) bool {
	for _, begin := range []string{
		"Deployment with ID", "Deployment Artifact", "Pulling ", "Successfully pulled", "Commit ", "Upload ",
		"There is no apprunner.yaml", "Reading apprunner.yaml", "Successfully validate", "Detected: ", "Starting ", "The runtime ",
		"warning: ", // detection's own: they were shown before
		"Provisioning ", "Performing health check", "Health check is successful", "Successfully routed", "Service ", "Deployment completed",
		"Your application stopped or failed to start", "Health check failed", "Failed to deploy your application", "Deployment failed",
		failureReason, "Failed to build your application", "Failed to pull your application",
	} {
		if strings.HasPrefix(text, begin) {
			return !strings.Contains(text, "is being made")
		}
	}
	return false
}

// healthCheck is App Runner's line about the health check of new instances.
var healthCheck = regexp.MustCompile("^Performing health check on protocol `(HTTP|TCP)` (?:\\[Path: '([^']*)'\\], )?\\[Port: '([0-9]+)'\\]")

// phase returns what begins with a line of the service; "" for nothing.
func phase(text string) string {
	switch m := healthCheck.FindStringSubmatch(text); {
	case strings.HasPrefix(text, "Pulling image "):
		return "Pulling the image"
	case strings.HasPrefix(text, "Pulling source code"):
		return "Getting the code"
	case strings.HasPrefix(text, "Starting source code build"):
		return "Building"
	case m != nil && m[1] == "HTTP":
		return "Starting the application and waiting for GET " + m[2] + " on port " + m[3]
	case m != nil:
		return "Starting the application and waiting for a connection to port " + m[3]
	}
	return ""
}

// failureReason is in App Runner's line about why an operation failed.
const failureReason = "Failure reason : "

// reasonOf returns the reason that a line gives for a failure; "" if it gives none.
func reasonOf(text string) string {
	if _, reason, ok := strings.Cut(text, failureReason); ok {
		return strings.TrimSuffix(reason, ".")
	}
	for _, begin := range []string{"Failed to build your application", "Failed to pull your application", "Your application stopped or failed to start", "Health check failed"} {
		if strings.HasPrefix(text, begin) {
			return strings.TrimSuffix(text, ".")
		}
	}
	return ""
}

// passing are the beginnings of the service's lines that say what happens at the
// moment, in work that takes long.
func passing(text string) bool { return strings.HasPrefix(text, "Making ") }

// line takes a line of the operation's log or of its build's output, and the time since
// the operation began.
func (q *quiet) line(message string, after time.Duration) {
	text, service := strings.CutPrefix(message, "[AppRunner] ")
	output := !service && strings.HasPrefix(message, "[")
	if reason := reasonOf(text); service && reason != "" && (q.reason == "" || strings.Contains(text, failureReason)) {
		q.reason = reason
	}
	q.starting = q.starting || service && healthCheck.MatchString(text)
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
		if what := phase(text); what != "" && !q.seen[what] {
			q.p.Phase(what)
			q.see(what)
		}
		return
	}
	q.now = ""
	q.see(text)
	if strings.HasPrefix(text, "Successfully built") {
		q.tail = nil // what fails now is the application
		q.p.EndPhase()
	}
	q.p.Step(after, text)
}

func (q *quiet) see(text string) {
	if q.seen == nil {
		q.seen = map[string]bool{}
	}
	q.seen[text] = true
}

// status shows what an operation that began some time ago does at the moment.
func (q *quiet) status(since time.Duration, status types.OperationStatus) {
	switch {
	case q.now != "":
		q.p.PhaseStatus(q.now)
	case len(q.seen) > 0 && !q.all:
		q.p.PhaseStatus("")
	default:
		q.p.Status("%10s  %s", term.Took(since), strings.ToLower(strings.ReplaceAll(string(status), "_", " ")))
	}
}

// failed shows the end of the build's output.
func (q *quiet) failed() {
	for _, line := range q.tail {
		q.p.Say(term.Faint, "          %s", line)
	}
	q.tail = nil
}
