package replay_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
)

// server is the API behind the gateway, over HTTP. It takes one request at a
// time and keeps the exchanges.
type server struct {
	*gatewaytest.Bench
	URL string

	mu        sync.Mutex // guards what follows
	names     *names
	exchanges []exchange
	live      string // the service whose operation runs
}

// newServer starts a server. now is the gateway's clock, by which signatures are
// judged; what answers tell of time follows the bench's, which moves by a second
// a request.
func newServer(t testing.TB, now func(*gatewaytest.Bench) time.Time) *server {
	t.Helper()
	s := &server{Bench: gatewaytest.New(t), names: newNames()}
	a, err := api.New(api.Config{
		Store: s.Store, Region: gatewaytest.Region, Account: gatewaytest.Account, Domain: "slipway.localhost", URLPort: 8080, Now: s.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Open([]gateway.Service{a.Service()}, func(c *gateway.Config) { c.Now = func() time.Time { return now(s.Bench) } })
	at := httptest.NewServer(s)
	t.Cleanup(at.Close)
	s.URL = at.URL
	return s
}

// ServeHTTP has the gateway answer and notes the exchange.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.Errorf("read a request: %v", err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	header := r.Header.Clone()
	answer := httptest.NewRecorder()
	s.Handler.ServeHTTP(answer, r)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	if _, err := w.Write(answer.Body.Bytes()); err != nil {
		s.Errorf("answer: %v", err)
	}

	text := strings.TrimSuffix(answer.Body.String(), "\n")
	s.names.keep(string(body))
	s.names.learn(text)
	s.exchanges = append(s.exchanges, exchange{
		newMessage(r.Method+" "+r.URL.RequestURI(), header, s.names.hide(string(body))),
		newMessage(strconv.Itoa(answer.Code), answer.Header(), s.names.hide(text)),
	})
	s.playEngine(text)
	s.Clock.Advance(time.Second)
}

// begun matches the answer of a call that began an operation.
var begun = regexp.MustCompile(`"OperationId":"[0-9a-f]+"`)

var serviceARN = regexp.MustCompile(`arn:aws:apprunner:us-east-1:000000000000:service/[\w-]+/[0-9a-f]{32}`)

// playEngine stands for the engine: an operation that a call began succeeds once
// a client has seen it run.
func (s *server) playEngine(answer string) {
	switch {
	case begun.MatchString(answer):
		s.live = serviceARN.FindString(answer)
	case s.live != "" && serviceARN.FindString(answer) == s.live:
		s.finish()
		s.live = ""
	}
}

// finish ends the live operation.
func (s *server) finish() {
	now := s.Clock.Now()
	err := s.Store.Update(s.Context(), func(tx *store.Tx) error {
		v, err := tx.Service(path.Base(s.live))
		if err != nil {
			return err
		}
		op := *v.Live
		op.Status, op.StartedAt, op.UpdatedAt, op.EndedAt = slipway.OperationSucceeded, now.Add(-time.Millisecond), now, now
		if op.Input.Spec != nil {
			if err := tx.SetSpec(v.ID, *op.Input.Spec, now); err != nil {
				return err
			}
		}
		if err := tx.SaveOperation(op); err != nil {
			return err
		}
		return tx.SetStatus(v.ID, rests[op.Kind], now)
	})
	if err != nil { // not fatal: this is no goroutine of the test
		s.Errorf("end the operation of %s: %v", s.live, err)
	}
}

// rests says what a service is after an operation.
var rests = map[slipway.OperationKind]slipway.Status{
	slipway.CreateService: slipway.StatusRunning, slipway.UpdateService: slipway.StatusRunning, slipway.StartDeployment: slipway.StatusRunning,
	slipway.PauseService: slipway.StatusPaused, slipway.ResumeService: slipway.StatusRunning, slipway.DeleteService: slipway.StatusDeleted,
}
