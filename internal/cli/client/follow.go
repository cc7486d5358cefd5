package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway"
)

const (
	// pollFirst suits a resume, which is a matter of milliseconds; each further
	// poll waits half as long again, up to pollLast.
	pollFirst = 20 * time.Millisecond
	pollLast  = 500 * time.Millisecond

	// patience is how long a server may be away while an operation is followed.
	// Operations survive a restart, so that following should too.
	patience = 2 * time.Minute
)

// Sight is what one look at an operation showed.
type Sight struct {
	Operation types.OperationSummary
	Lines     []LogEvent // of its log, since the sight before
	Away      error      // the server did not answer; then nothing else is set
}

// Follow watches an operation until it has ended and returns how. It calls see
// with every look at it. An operation that has failed is no error here.
func (c *Client) Follow(ctx context.Context, serviceARN, operationID string, see func(Sight)) (types.OperationSummary, error) {
	f := follower{client: c, arn: serviceARN, id: operationID, group: ServiceLogGroup(serviceARN)}
	var last types.OperationSummary
	err := poll(ctx, pollFirst, pollLast, func(err error) { see(Sight{Away: err}) }, func() (bool, error) {
		sight, err := f.look(ctx)
		if err != nil {
			return false, err
		}
		last = sight.Operation
		see(sight)
		return !Live(last.Status), nil
	})
	return last, err
}

// poll looks, after a wait that grows from first to last, until that is done or
// fails. A server that is away for a while is told of and no failure.
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

// Live reports whether an operation of this status is not at its end yet.
func Live(s types.OperationStatus) bool { return slipway.OperationStatus(s).Live() }

// Operation returns one operation of a service. An empty id means the newest;
// nil, without an error, means that there is none.
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

// follower is one operation that is watched.
type follower struct {
	client  *Client
	arn, id string
	group   string
	stream  string // "" until found
	token   string // where to read the stream on
	blind   bool   // we may follow the operation and not read its lines
}

// look asks for the operation first and for its log second, so that a sight of
// its end has its last lines.
func (f *follower) look(ctx context.Context) (Sight, error) {
	op, err := f.client.Operation(ctx, f.arn, f.id)
	if err != nil {
		return Sight{}, err
	}
	if op == nil {
		return Sight{}, &Problem{Text: fmt.Sprintf("the service has no operation %s", f.id)}
	}
	if f.blind {
		return Sight{Operation: *op}, nil
	}
	lines, err := f.lines(ctx)
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "AccessDeniedException" {
		f.blind, err = true, nil
	}
	if err != nil {
		return Sight{}, err
	}
	return Sight{Operation: *op, Lines: lines}, nil
}

func (f *follower) lines(ctx context.Context) ([]LogEvent, error) {
	if f.stream == "" {
		var err error
		if f.stream, err = f.client.StreamOf(ctx, f.group, f.id); err != nil || f.stream == "" {
			return nil, err
		}
	}
	var all []LogEvent
	for {
		lines, next, err := f.client.Logs.Head(ctx, f.group, f.stream, f.token)
		if err != nil {
			return nil, err
		}
		all, f.token = append(all, lines...), next
		if len(lines) == 0 {
			return all, nil
		}
	}
}

// StreamOf returns the name of the stream, in a log group, that an operation
// or an instance writes to: "<sort>/<id>". It is "" when there
// is none yet. An id may be cut short where it stays unambiguous.
func (c *Client) StreamOf(ctx context.Context, group, id string) (string, error) {
	streams, err := c.Logs.Streams(ctx, group, "")
	if err != nil {
		return "", err
	}
	return pickStream(streams, id)
}

var errAmbiguous = errors.New("ambiguous")

// pickStream returns the one stream whose last part is id or else begins with
// it, "" when there is none.
func pickStream(streams []Stream, id string) (string, error) {
	var begin []string
	for _, s := range streams {
		_, last, ok := strings.Cut(s.Name, "/")
		switch {
		case !ok || !strings.HasPrefix(last, id):
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

// ServiceLogGroup returns the name of the log group with a service's events and
// the logs of its operations; "" when the text is no service's ARN.
func ServiceLogGroup(serviceARN string) string { return logGroup(serviceARN, "service") }

// ApplicationLogGroup returns the name of the log group with what a service's
// instances print.
func ApplicationLogGroup(serviceARN string) string { return logGroup(serviceARN, "application") }

func logGroup(serviceARN, kind string) string {
	arn, err := slipway.ParseARN(serviceARN)
	if err != nil || len(arn.Parts) != 2 {
		return ""
	}
	return "/aws/apprunner/" + arn.Parts[0] + "/" + arn.Parts[1] + "/" + kind
}
