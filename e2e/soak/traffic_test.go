package soak

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
)

// visit sends a service one request and judges the outcome.
func (v *service) visit(random *rand.Rand, client *http.Client) {
	v.mu.Lock()
	at, broken := v.life, v.broken
	v.mu.Unlock()
	if at == nil || broken {
		return
	}
	path := "/"
	if v.slow > 0 && random.IntN(2) == 0 {
		path = fmt.Sprintf("/?ms=%d", random.Int64N(v.slow.Milliseconds()))
	}
	if random.IntN(8) == 0 {
		path = fmt.Sprintf("/large?kib=%d&ms=10", 1+random.IntN(256))
	}
	o := v.request(at, client, path)
	v.mu.Lock()
	phases := at.phases
	v.mu.Unlock()
	cause, ok := judge(v.name, o, phases, v.known())
	if !ok {
		v.count("request", "unexplained")
		v.fail("a request that nothing explains: %v", o)
		return
	}
	v.count("request", cause)
	if o.err != nil || o.status != http.StatusOK && cause != "paused" && cause != "deleted" {
		v.note("explained by %q: %v", cause, o)
	}
}

// request sends a request and returns what came of it.
func (v *service) request(at *life, client *http.Client, path string) outcome {
	o := outcome{path: path, begun: time.Now()}
	defer func() { o.end = time.Now() }()
	req, err := http.NewRequestWithContext(v.ctx, http.MethodGet, v.http+path, nil)
	if err != nil {
		panic(err) // the addresses are the test's own
	}
	req.Host = at.url
	res, err := client.Do(req)
	if err != nil {
		o.err, o.end = err, time.Now()
		return o
	}
	defer res.Body.Close()
	o.status, o.retryAfter = res.StatusCode, res.Header.Get("Retry-After") != ""
	body, err := io.ReadAll(res.Body)
	o.end = time.Now()
	switch {
	case err != nil:
		o.err = err
	case res.StatusCode != http.StatusOK:
		var page struct{ Error string }
		_ = json.Unmarshal(body, &page) // what is no page has no code
		o.code = page.Error
	case strings.HasPrefix(path, "/large"):
		o.err = letters(path, body)
	default:
		o.err = o.read(body)
	}
	return o
}

// letters checks the answer to /large.
func letters(path string, body []byte) error {
	var kib, ms int
	if _, err := fmt.Sscanf(path, "/large?kib=%d&ms=%d", &kib, &ms); err != nil {
		return err
	}
	if len(body) != kib<<10 {
		return fmt.Errorf("%d bytes of %d", len(body), kib<<10)
	}
	for i, b := range body {
		if b != 'a'+byte(i%26) {
			return fmt.Errorf("byte %d is %q", i, b)
		}
	}
	return nil
}

// read finds out who answered.
func (o *outcome) read(body []byte) error {
	var r harness.Reply
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("body %.100q: %w", body, err)
	}
	o.boot = r.Boot
	service, revision, _ := strings.Cut(r.Greeting, "/")
	o.service = service
	var err error
	if o.edition.greeting, err = strconv.Atoi(revision); err != nil {
		return fmt.Errorf("greeting %q", r.Greeting)
	}
	if o.edition.image, err = strconv.Atoi(r.Version); err != nil {
		return fmt.Errorf("version %q", r.Version)
	}
	if r.Token != "" {
		_, err = fmt.Sscanf(r.Token, "value-%d", &o.edition.secret)
	}
	return err
}

// visits has a client send requests until the soak ends.
func (v *service) visits(random *rand.Rand, client *http.Client) {
	for v.over.Err() == nil {
		v.quiet.RLock()
		v.visit(random, client)
		v.quiet.RUnlock()
		v.await(1 + random.IntN(int(v.every.Milliseconds())))
	}
}
