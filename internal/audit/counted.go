package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
)

// Occurrence is something that may happen any number of times and is therefore counted:
// a secret was read, a call was refused, a signature was wrong, somebody logged in.
type Occurrence struct {
	At        time.Time
	Caller    gateway.Caller
	Source    string // the service, such as "ecr.amazonaws.com"
	Name      string
	Resources []string // ARNs
	Code      string   // of a refusal, else ""
	Message   string   // of the first refusal

	Parameters map[string]any // of the first

	changes bool // it changed something
}

const (
	window     = time.Hour // of one record's count
	mostSingle = 100       // records of changes of one name by one user in a window
	mostCounts = 2000      // different occurrences in a window; more share one record for each name
)

// counted are the occurrences of a window.
type counted struct {
	mu     sync.Mutex // guards the rest
	since  time.Time  // of the window
	counts map[string]*count
	singly map[string]int // changes that have a record each, by user and name
}

type count struct {
	id    string
	first Occurrence
	last  time.Time
	n     int
}

// tally counts an occurrence and returns its record: the first of its kind in the window
// with the number so far. Of a key that nobody has, only the number is kept: an attacker
// chooses the rest.
func (c *counted) tally(process string, o Occurrence) count {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(o.At)
	if o.Caller.User == "" {
		o = Occurrence{At: o.At, Source: o.Source, Name: o.Name, Code: o.Code, Message: o.Message}
	}
	key := o.key()
	n := c.counts[key]
	if n == nil && len(c.counts) >= mostCounts {
		o = Occurrence{At: o.At, Name: o.Name, Message: "Others of this hour, of any caller and resource."}
		key = o.key()
		n = c.counts[key]
	}
	if n == nil {
		n = &count{id: idOf(process, c.since, key), first: o}
		c.counts[key] = n
	}
	n.n++
	n.last = o.At
	return *n
}

// turn begins the window of a time. c.mu is held.
func (c *counted) turn(at time.Time) {
	if since := at.Truncate(window); c.counts == nil || since.After(c.since) {
		c.since, c.counts, c.singly = since, map[string]*count{}, map[string]int{}
	}
}

// single reports whether a change has a record of its own.
func (c *counted) single(o Occurrence) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(o.At)
	key := o.Caller.User + "\x00" + o.Name
	if c.singly[key] >= mostSingle || len(c.singly) >= mostCounts && c.singly[key] == 0 {
		return false
	}
	c.singly[key]++
	return true
}

func (o Occurrence) key() string {
	return strings.Join(append([]string{o.Caller.KeyID, o.Caller.User, o.Source, o.Name, o.Code}, o.Resources...), "\x00")
}

// idOf returns the id of a counted record, in the form of others. Each process counts
// anew.
func idOf(process string, since time.Time, key string) string {
	sum := sha256.Sum256([]byte(process + "\x00" + instant(since) + "\x00" + key))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Count records an occurrence within an hour, with the number of those like it.
func (t *Trail) Count(ctx context.Context, o Occurrence) {
	if o.At.IsZero() {
		o.At = t.cfg.Now()
	}
	n := t.counted.tally(t.process, o)
	t.write(ctx, n.id, n.first, &additional{Count: n.n, First: instant(n.first.At), Last: instant(n.last)})
}

// Happened records a change that is no call of the API, such as a push, before its client
// is told. Of one user, the first 100 of a name in an hour have a record each; those that
// follow are counted, for each resource.
func (t *Trail) Happened(ctx context.Context, o Occurrence) {
	if o.At.IsZero() {
		o.At = t.cfg.Now()
	}
	o.changes = true
	if t.counted.single(o) {
		t.write(ctx, slipway.NewUUID(), o, nil)
		return
	}
	t.Count(ctx, o)
}

// write makes the record of an occurrence: of a single one, or of those that are counted.
// That of a change is written at once.
func (t *Trail) write(ctx context.Context, id string, o Occurrence, counts *additional) {
	r := t.frame(o.Caller, o.At, id)
	r.EventSource, r.EventName, r.ReadOnly, r.Additional = o.Source, o.Name, !o.changes, counts
	r.ErrorCode, r.ErrorMessage = errorCode(o.Code), o.Message
	if o.Parameters != nil {
		r.RequestParameters = o.Parameters
	}
	kept := slipway.AuditRecord{ID: id, At: o.At, Name: o.Name, Source: o.Source, User: o.Caller.User, KeyID: o.Caller.KeyID}
	kept, err := r.about(kept, o.Resources)
	if err != nil {
		t.cfg.Log.Error("make an audit record", "request", id, "operation", o.Name, "err", err)
		return
	}
	t.put(ctx, kept, o.changes)
}

// Refused counts a call whose signature was refused. Of a known key the caller is named.
func (t *Trail) Refused(ctx context.Context, c gateway.Call) {
	t.Count(ctx, Occurrence{
		At: c.At, Caller: c.Caller, Source: source(c.Service), Name: "RefuseSignature", Code: c.Exception.Name, Message: c.Exception.Message,
	})
}

// read counts a call that changed nothing: it showed a secret, or was denied.
func (t *Trail) read(ctx context.Context, c gateway.Call) {
	o := Occurrence{At: c.At, Caller: c.Caller, Source: source(c.Service), Name: c.Operation.Name, Resources: resourcesOf(c.Resources, nil)}
	if c.Exception != nil {
		o.Code, o.Message = c.Exception.Name, c.Exception.Message
	}
	if doc, err := document(c.Input, c.Operation, true); err == nil {
		o.Parameters, _ = doc.(map[string]any)
	}
	t.Count(ctx, o)
}
