package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway"
)

const (
	// pollFirst suits a resume, which takes milliseconds. Each further wait is half
	// as long again, up to pollLast.
	pollFirst = 20 * time.Millisecond
	pollLast  = 500 * time.Millisecond

	// patience is how long a server may be unreachable while an operation is
	// followed. Operations survive a restart of the server, and so does waiting.
	patience = 2 * time.Minute
)

// Update is what one poll of an operation returned.
type Update struct {
	Operation types.OperationSummary
	Lines     []LogEvent // of its log, since the last update
	Away      error      // if the server did not answer; then nothing else is set
}

// Follow polls an operation until it has ended and returns its summary. It calls
// see after every poll. A failed operation is not an error here.
func (c *Client) Follow(ctx context.Context, serviceARN, operationID string, see func(Update)) (types.OperationSummary, error) {
	f := follower{client: c, arn: serviceARN, id: operationID, group: ServiceLogGroup(serviceARN)}
	var last types.OperationSummary
	err := poll(ctx, pollFirst, pollLast, func(err error) { see(Update{Away: err}) }, func() (bool, error) {
		u, err := f.look(ctx)
		if err != nil {
			return false, err
		}
		last = u.Operation
		see(u)
		return !Live(last.Status), nil
	})
	return last, err
}

// poll calls look until it is done or fails, with a wait that grows from first to
// last. A server that does not answer for a while is reported to away, and is not
// a failure.
func poll(ctx context.Context, first, last time.Duration, away func(error), look func() (done bool, err error)) error {
	var awaySince time.Time
	for wait := first; ; wait = min(wait*3/2, last) {
		done, err := look()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil && done:
			return nil
		case err == nil:
			awaySince = time.Time{}
		case !Unreachable(err):
			return err
		case awaySince.IsZero():
			awaySince = time.Now()
			away(err)
		case time.Since(awaySince) > patience:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// Live reports whether an operation with this status has not ended.
func Live(s types.OperationStatus) bool { return slipway.OperationStatus(s).Live() }

// Operation returns an operation of a service, the newest one for an empty id. It
// returns nil if there is none.
func (c *Client) Operation(ctx context.Context, serviceARN, id string) (*types.OperationSummary, error) {
	pages := apprunner.NewListOperationsPaginator(c.API, &apprunner.ListOperationsInput{
		ServiceArn: aws.String(serviceARN),
		MaxResults: aws.Int32(20),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for i, op := range page.OperationSummaryList {
			if id == "" || aws.ToString(op.Id) == id {
				return &page.OperationSummaryList[i], nil
			}
		}
	}
	return nil, nil
}

// follower polls one operation.
type follower struct {
	client  *Client
	arn, id string
	group   string
	stream  string // "" until found
	token   string // where to continue to read the stream
	build   *buildFollower
	blind   bool // the user may see the operation but not its log
}

// look reads the operation first and its log second, so that the update with its
// end has its last lines.
func (f *follower) look(ctx context.Context) (Update, error) {
	op, err := f.client.Operation(ctx, f.arn, f.id)
	if err != nil {
		return Update{}, err
	}
	if op == nil {
		return Update{}, &Problem{Text: fmt.Sprintf("the service has no operation %s", f.id)}
	}
	if f.blind {
		return Update{Operation: *op}, nil
	}
	lines, err := f.lines(ctx)
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "AccessDeniedException" {
		f.blind, err = true, nil
	}
	if err != nil {
		return Update{}, err
	}
	return Update{Operation: *op, Lines: lines}, nil
}

func (f *follower) lines(ctx context.Context) ([]LogEvent, error) {
	if f.stream == "" {
		var err error
		if f.stream, err = f.client.StreamOf(ctx, f.group, f.id); err != nil || f.stream == "" {
			return nil, err
		}
	}
	all, next, err := f.read(ctx, f.stream, f.token)
	if err != nil {
		return nil, err
	}
	f.token = next
	if f.build == nil && slices.ContainsFunc(all, func(e LogEvent) bool { return strings.Contains(e.Message, sourceArtifact) }) {
		f.build = &buildFollower{stream: buildStream(f.id)}
	}
	if f.build == nil {
		return all, nil
	}
	output, err := f.output(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, output...)
	slices.SortStableFunc(all, func(a, b LogEvent) int { return a.Time().Compare(b.Time()) })
	return all, nil
}

// read returns the lines of a stream after a token, and the token after them.
func (f *follower) read(ctx context.Context, stream, token string) (all []LogEvent, next string, err error) {
	for {
		lines, next, err := f.client.Logs.Head(ctx, f.group, stream, token)
		if err != nil {
			return nil, token, err
		}
		all, token = append(all, lines...), next
		if len(lines) == 0 {
			return all, token, nil
		}
	}
}

// sourceArtifact is in the first lines of a deployment from code, which has a build.
const sourceArtifact = "[Repo Type: Source]"

// buildStream returns the name of the stream with the output of an operation's build.
func buildStream(operation string) string { return "build/" + operation }

// buildFollower follows the output of an operation's build.
type buildFollower struct {
	stream string
	token  string
	exists bool
}

// output returns the new lines of the operation's build.
func (f *follower) output(ctx context.Context) ([]LogEvent, error) {
	b := f.build
	if !b.exists {
		streams, err := f.client.Logs.Streams(ctx, f.group, b.stream)
		if err != nil || len(streams) == 0 {
			return nil, err
		}
		b.exists = true
	}
	lines, next, err := f.read(ctx, b.stream, b.token)
	b.token = next
	return lines, err
}

// StreamsOf returns the name of an operation's stream and, if it has built code, that
// of its build's output. id may be an unambiguous prefix.
func (c *Client) StreamsOf(ctx context.Context, group, id string) ([]string, error) {
	streams, err := c.Logs.Streams(ctx, group, "")
	if err != nil {
		return nil, err
	}
	name, err := pickStream(streams, id)
	if err != nil || name == "" {
		return nil, err
	}
	_, full, _ := strings.Cut(name, "/")
	list := []string{name}
	if slices.ContainsFunc(streams, func(s Stream) bool { return s.Name == buildStream(full) }) {
		list = append(list, buildStream(full))
	}
	return list, nil
}

// StreamOf returns the name of an operation's or instance's stream in a log group:
// "<kind>/<id>", or "" if there is none yet. id may be an unambiguous prefix.
func (c *Client) StreamOf(ctx context.Context, group, id string) (string, error) {
	streams, err := c.Logs.Streams(ctx, group, "")
	if err != nil {
		return "", err
	}
	return pickStream(streams, id)
}

var errAmbiguous = errors.New("ambiguous")

// pickStream returns the only stream of an operation or instance whose last part is id or begins with it, ""
// if there is none.
func pickStream(streams []Stream, id string) (string, error) {
	var begin []string
	for _, s := range streams {
		kind, last, ok := strings.Cut(s.Name, "/")
		switch {
		case !ok || kind == "build" || // belongs to an operation's
			!strings.HasPrefix(last, id):
		case last == id:
			return s.Name, nil
		default:
			begin = append(begin, s.Name)
		}
	}
	if len(begin) > 1 {
		return "", &Problem{Text: fmt.Sprintf("%q is the beginning of more than one id: %s", id, strings.Join(begin, ", ")), Err: errAmbiguous}
	}
	return strings.Join(begin, ""), nil
}

// ServiceLogGroup returns the name of the log group of a service's events and
// operations, "" if the text is not a service's ARN.
func ServiceLogGroup(serviceARN string) string { return logGroup(serviceARN, "service") }

// ApplicationLogGroup returns the name of the log group of the output of a
// service's instances.
func ApplicationLogGroup(serviceARN string) string { return logGroup(serviceARN, "application") }

// AccessLogGroup returns the name of the log group of a service's requests.
func AccessLogGroup(serviceARN string) string { return logGroup(serviceARN, "access") }

func logGroup(serviceARN, kind string) string {
	arn, err := slipway.ParseARN(serviceARN)
	if err != nil || len(arn.Parts) != 2 {
		return ""
	}
	return "/aws/apprunner/" + arn.Parts[0] + "/" + arn.Parts[1] + "/" + kind
}
