package gateway

import (
	"context"
	"crypto/sha256"
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
	over chan struct{} // closed when the rest is set
	body []byte
	ok   bool
}

// attemptOf returns the call's id, and whether this is not its first attempt.
func attemptOf(h http.Header, keyID string, body []byte) (id attemptID, again bool) {
	invocation := h.Get("Amz-Sdk-Invocation-Id")
	if invocation == "" {
		return id, false
	}
	sum := sha256.New()
	for _, part := range []string{keyID, h.Get("X-Amz-Target"), invocation} {
		sum.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	sum.Write(body)
	sum.Sum(id[:0])
	for part := range strings.SplitSeq(h.Get("Amz-Sdk-Request"), ";") {
		if number, ok := strings.CutPrefix(strings.TrimSpace(part), "attempt="); ok {
			n, err := strconv.Atoi(number)
			again = err == nil && n > 1
		}
	}
	return id, again
}

// do returns the reply of the attempt before, if there was one that succeeds,
// else what f returns.
func (a *attempts) do(ctx context.Context, c *call, f func() ([]byte, error)) ([]byte, error) {
	if c.attempt == (attemptID{}) || !c.target.Changes {
		return f()
	}
	mine, before := a.next(c)
	for ; before != nil; mine, before = a.next(c) {
		select {
		case <-before.over:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if before.ok {
			c.repeated = true
			return before.body, nil
		}
	}
	defer a.end(c.attempt, mine)
	body, err := f()
	if err == nil && len(body) <= maxRemembered {
		mine.body, mine.ok = body, true
	}
	return body, err
}

// next returns the attempt before, or else the one that is to be made now.
func (a *attempts) next(c *call) (mine, before *attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before = a.known[c.attempt]
	if before != nil && c.again {
		return nil, before
	}
	if before == nil {
		if len(a.order) == maxAttempts {
			delete(a.known, a.order[0])
			a.order = a.order[1:]
		}
		a.order = append(a.order, c.attempt)
	}
	mine = &attempt{over: make(chan struct{})}
	a.known[c.attempt] = mine
	return mine, nil
}

// end lets those go on that wait, also after a panic. A failure is not
// remembered: the next attempt may do better.
func (a *attempts) end(id attemptID, mine *attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[id] == mine && !mine.ok {
		delete(a.known, id)
	}
	close(mine.over)
}
