package awshttp

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	// maxAttempts is how many calls are remembered for attempts that follow.
	maxAttempts = 1024

	// maxRemembered bounds the replies that are remembered, in bytes.
	maxRemembered = 16 << 10
)

// attempts makes what AWS's SDKs take for one call one call. Where a reply is
// lost on its way, an SDK tries again, and a creation would find that its name
// is taken: by itself. The SDKs give all attempts of a call one id and number
// them, so an attempt that follows one which succeeded gets the same reply. It
// is for replies that are lost: after a restart nothing is remembered.
type attempts struct {
	mu    sync.Mutex // guards the rest
	known map[attemptID]*attempt
	order []attemptID // the longest known first
}

// attemptID identifies a call by its caller, its body and the SDK's id. The zero
// value is of a call whose client does not say.
type attemptID [sha256.Size]byte

type attempt struct {
	over   chan struct{} // closed when the rest is set
	body   []byte
	failed bool // or cannot be remembered: the next attempt is the call
}

// attemptOf returns the call's id, and whether this is not its first attempt.
// Attempts at calls that change nothing count as separate calls.
func attemptOf(r *http.Request, x *exchange) (c attemptOfCall) {
	invocation := r.Header.Get("Amz-Sdk-Invocation-Id")
	if invocation == "" || !x.operation.Mutates {
		return c
	}
	sum := sha256.New()
	for _, part := range []string{x.caller.KeyID, r.Header.Get("X-Amz-Target"), invocation} {
		sum.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	sum.Write(x.received)
	sum.Sum(c.id[:0])
	for part := range strings.SplitSeq(r.Header.Get("Amz-Sdk-Request"), ";") {
		if number, ok := strings.CutPrefix(strings.TrimSpace(part), "attempt="); ok {
			n, err := strconv.Atoi(number)
			c.again = err == nil && n > 1
		}
	}
	return c
}

// attemptOfCall says of which call a request is an attempt.
type attemptOfCall struct {
	id    attemptID
	again bool // it is not the first
}

// do gives x the reply of the attempt before, if one succeeded, and returns true;
// otherwise it runs the call and encodes its output.
func (a *attempts) do(ctx context.Context, c attemptOfCall, x *exchange, run func() (any, error)) (repeated bool, err error) {
	if c.id == (attemptID{}) {
		x.reply, err = x.made(run)
		return false, err
	}
	mine, before := a.next(c.id, c.again)
	for ; before != nil; mine, before = a.next(c.id, c.again) {
		select {
		case <-before.over:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		if !before.failed {
			x.reply = before.body
			return true, nil
		}
	}
	err = errPanicked
	defer func() { a.end(mine, x.reply, err) }()
	x.reply, err = x.made(run)
	return false, err
}

// made runs the call and encodes its output.
func (x *exchange) made(run func() (any, error)) ([]byte, error) {
	output, err := run()
	if err != nil {
		return nil, err
	}
	return x.encode(output)
}

// errPanicked is how an attempt ends that does not return.
var errPanicked = errors.New("the attempt panicked")

// next returns the attempt before, or else the one that is to be made now.
func (a *attempts) next(id attemptID, again bool) (mine, before *attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before = a.known[id]
	if again && before != nil && !before.failed {
		return nil, before
	}
	if before == nil {
		if len(a.order) == maxAttempts {
			delete(a.known, a.order[0])
			a.order = a.order[1:]
		}
		a.order = append(a.order, id)
	}
	mine = &attempt{over: make(chan struct{})}
	a.known[id] = mine
	return mine, nil
}

// end lets those go on that wait.
func (a *attempts) end(mine *attempt, body []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if mine.failed = err != nil || len(body) > maxRemembered; !mine.failed {
		mine.body = body
	}
	close(mine.over)
}
