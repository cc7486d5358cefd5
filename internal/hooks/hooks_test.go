package hooks_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/hooks"
	"github.com/openslipway/slipway/internal/hooks/eventbridge"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// keys leaves secrets in plain text; it refuses to open "bad".
type keys struct{}

func (keys) Seal(_ string, key []byte) []byte { return key }

func (keys) Open(_ string, sealed []byte) ([]byte, error) {
	if string(sealed) == "bad" {
		return nil, errors.New("another key sealed it")
	}
	return sealed, nil
}

// receivers answer the requests to the webhooks' URLs, by host.
type receivers struct {
	mu     sync.Mutex
	got    map[string][]string // ids of events that were answered 200, in order
	seen   map[string]int      // requests
	most   map[string]int      // at once
	now    map[string]int
	states map[slipway.DeliveryState]int                                            // of attempts
	answer func(host, id string, n int) (status int, header http.Header, err error) // to the n-th request of the host
}

// requests returns how many a host has had.
func (r *receivers) requests(host string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[host]
}

func (r *receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, req.Body)
	host, id := req.URL.Host, req.Header.Get("Webhook-Id")
	r.mu.Lock()
	r.seen[host]++
	r.now[host]++
	r.most[host] = max(r.most[host], r.now[host])
	n := r.seen[host]
	r.mu.Unlock()
	defer func() { r.mu.Lock(); r.now[host]--; r.mu.Unlock() }()
	if strings.HasPrefix(host, "slow") {
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-time.After(time.Hour):
		}
	}
	status, header, err := http.StatusOK, http.Header{}, error(nil)
	if r.answer != nil {
		status, header, err = r.answer(host, id, n)
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if status == http.StatusOK {
		r.got[host] = append(r.got[host], id)
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: header, Body: http.NoBody}, nil
}

// bench is a store with webhooks in a bubble.
type bench struct {
	*testing.T
	store *store.Store
	r     *receivers
	wg    sync.WaitGroup
	n     int
}

func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := storetest.Memory(t)
		defer s.Close()
		b := &bench{T: t, store: s, r: &receivers{got: map[string][]string{}, seen: map[string]int{}, most: map[string]int{}, now: map[string]int{}, states: map[slipway.DeliveryState]int{}}}
		defer b.wg.Wait()
		f(b)
	})
}

// observe counts attempts.
func (b *bench) observe(s slipway.DeliveryState) {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	b.r.states[s]++
}

// run starts a Hooks; stop ends it and waits for that.
func (b *bench) run() (stop func()) {
	b.Helper()
	h, err := hooks.New(hooks.Config{Store: b.store, Keys: keys{}, Log: slog.New(slog.DiscardHandler), Transport: b.r, Observe: b.observe})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	b.wg.Go(func() { defer close(done); h.Run(ctx) })
	return func() { cancel(); <-done }
}

func (b *bench) update(f func(*store.Tx) error) {
	b.Helper()
	if err := b.store.Update(context.Background(), f); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) hook(host string, with ...func(*slipway.Webhook)) {
	b.Helper()
	h := slipway.Webhook{ID: host, URL: "http://" + host + "/", Secret: []byte("key"), CreatedAt: time.Now()}
	for _, f := range with {
		f(&h)
	}
	b.update(func(tx *store.Tx) error { return tx.InsertWebhook(h) })
}

// publish makes n events of a service, with ids "<service>-<number>".
func (b *bench) publish(service string, n int) {
	b.Helper()
	for range n {
		b.n++
		e := slipway.BusEvent{
			ID: fmt.Sprintf("%s-%04d", service, b.n), ServiceID: "id-" + service, Service: service,
			Type: slipway.ServiceStatusChange, At: time.Now(), Body: []byte("{}"),
		}
		b.update(func(tx *store.Tx) error { return tx.InsertBusEvent(e) })
	}
}

func (b *bench) deliveries(hook string) (list []slipway.Delivery) {
	b.Helper()
	err := b.store.View(context.Background(), func(tx *store.Tx) (err error) { list, err = tx.Deliveries(hook, 0, 1000); return err })
	if err != nil {
		b.Fatal(err)
	}
	slices.SortFunc(list, func(a, b slipway.Delivery) int { return cmp.Compare(a.Event.Seq, b.Event.Seq) })
	return list
}

// inOrder checks that a receiver got exactly these many events of the service,
// each once and in order.
func (b *bench) inOrder(host, service string, n int) {
	b.Helper()
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	var ids []string
	for _, id := range b.r.got[host] {
		if strings.HasPrefix(id, service+"-") {
			ids = append(ids, id)
		}
	}
	if len(ids) != n || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != n {
		b.Errorf("%s got %v of %s, want %d in order", host, ids, service, n)
	}
}

func TestEventsArriveInOrderPerService(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.hook("all")
		b.hook("shop-only", func(h *slipway.Webhook) { h.Service = "shop" })
		b.hook("operations-only", func(h *slipway.Webhook) { h.Types = []slipway.EventType{slipway.OperationStatusChange} })
		b.publish("shop", 5) // before Hooks runs
		defer b.run()()
		for range 10 {
			b.publish("shop", 2)
			b.publish("billing", 2)
		}
		time.Sleep(time.Second)
		b.inOrder("all", "shop", 25)
		b.inOrder("all", "billing", 20)
		b.inOrder("shop-only", "shop", 25)
		b.inOrder("shop-only", "billing", 0)
		b.inOrder("operations-only", "shop", 0)
	})
}

func TestFailingEventHoldsBackItsServiceAlone(t *testing.T) {
	inBubble(t, func(b *bench) {
		var mended atomic.Bool
		b.r.answer = func(host, id string, _ int) (int, http.Header, error) {
			if host == "picky" && strings.HasPrefix(id, "shop-") && !mended.Load() {
				return http.StatusInternalServerError, nil, nil
			}
			return http.StatusOK, nil, nil
		}
		b.hook("picky")
		b.hook("fine")
		defer b.run()()
		b.publish("shop", 3)
		b.publish("billing", 3)
		time.Sleep(time.Minute)
		b.inOrder("picky", "shop", 0)
		b.inOrder("picky", "billing", 3)
		b.inOrder("fine", "shop", 3)
		list := b.deliveries("picky")
		if list[0].State != slipway.DeliveryDue || list[0].Attempts < 3 || list[0].Status != 500 ||
			list[1].State != slipway.DeliveryHeld || list[1].Attempts != 0 {
			t.Errorf("after a minute of failures: %+v", list[:2])
		}
		mended.Store(true)
		time.Sleep(5 * time.Minute)
		b.inOrder("picky", "shop", 3)
	})
}

func TestDeadReceiver(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.r.answer = func(string, string, int) (int, http.Header, error) { return 0, nil, errors.New("connection refused") }
		b.hook("dead")
		defer b.run()()
		b.publish("shop", 1)
		time.Sleep(23 * time.Hour)
		b.publish("shop", 1)
		list := b.deliveries("dead")
		if list[0].State != slipway.DeliveryDue || list[1].State != slipway.DeliveryHeld {
			t.Errorf("after 23 hours: %s and %s, want DUE and HELD", list[0].State, list[1].State)
		}
		time.Sleep(time.Hour + time.Second)
		list = b.deliveries("dead")
		if list[0].State != slipway.DeliveryDead || list[0].Problem != "connection refused" {
			t.Errorf("after a day: %+v", list[0])
		}
		if n := list[0].Attempts; n < 24 || n > 70 {
			t.Errorf("%d attempts in a day", n)
		}
		if list[1].State != slipway.DeliveryDue || list[1].Attempts == 0 {
			t.Errorf("the event behind it: %+v", list[1])
		}
		time.Sleep(24 * time.Hour)
		if list = b.deliveries("dead"); list[1].State != slipway.DeliveryDead {
			t.Errorf("a day later: %+v", list[1])
		}
		b.r.mu.Lock()
		defer b.r.mu.Unlock()
		if n := list[0].Attempts + list[1].Attempts; b.r.states[slipway.DeliveryDead] != 2 || b.r.states[slipway.DeliveryDue] != n-2 {
			t.Errorf("%d attempts were observed as %v", n, b.r.states)
		}
	})
}

func TestSlowReceiverDelaysNobodyElse(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.hook("slow")
		b.hook("fine")
		defer b.run()()
		for i := range 20 {
			b.publish(fmt.Sprintf("service%02d", i), 1)
		}
		synctest.Wait()
		for i := range 20 {
			b.inOrder("fine", fmt.Sprintf("service%02d", i), 1)
		}
		b.r.mu.Lock()
		n := b.r.most["slow"]
		b.r.mu.Unlock()
		if n != 4 {
			t.Errorf("%d requests at once to one webhook, want 4", n)
		}
		time.Sleep(16 * time.Second)
		if d := b.deliveries("slow")[0]; d.Attempts != 1 || d.Problem != "the receiver took too long" {
			t.Errorf("after its time limit: %+v", d)
		}
	})
}

func TestAnswers(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.r.answer = func(host, _ string, _ int) (int, http.Header, error) {
			switch host {
			case "redirects":
				return http.StatusTemporaryRedirect, http.Header{"Location": {"http://elsewhere/"}}, nil
			case "gone":
				return http.StatusGone, nil, nil
			case "busy":
				return http.StatusTooManyRequests, http.Header{"Retry-After": {"600"}}, nil
			}
			return http.StatusOK, nil, nil
		}
		for _, name := range []string{"redirects", "gone", "busy"} {
			b.hook(name)
		}
		b.hook("sealed", func(h *slipway.Webhook) { h.Secret = []byte("bad") })
		defer b.run()()
		b.publish("shop", 1)
		time.Sleep(5 * time.Minute)
		for name, want := range map[string]string{
			"redirects": "redirects are not followed", "gone": "410", "busy": "429",
			"sealed": "the webhook's secret could not be opened: another key sealed it",
		} {
			if d := b.deliveries(name)[0]; !strings.Contains(d.Problem, want) {
				t.Errorf("%s: %q, want %q in it", name, d.Problem, want)
			}
		}
		if b.r.requests("elsewhere") != 0 {
			t.Error("a redirect was followed")
		}
		if d := b.deliveries("gone")[0]; d.State != slipway.DeliveryDead || d.Attempts != 1 {
			t.Errorf("gone: %+v", d)
		}
		if n := b.r.requests("busy"); n != 1 {
			t.Errorf("%d requests within the 10 minutes that the receiver asked for, want 1", n)
		}
	})
}

// An attempt in flight when the process ends is made again by the next process.
func TestRestart(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.r.answer = func(_, _ string, n int) (int, http.Header, error) {
			if n == 2 {
				time.Sleep(5 * time.Second)
			}
			return http.StatusOK, nil, nil
		}
		b.hook("a")
		stop := b.run()
		b.publish("shop", 3)
		time.Sleep(time.Second)
		stop()
		if list := b.deliveries("a"); list[1].State != slipway.DeliveryDue || list[1].Attempts != 0 || list[2].State != slipway.DeliveryHeld {
			t.Errorf("after the process ended: %+v", list)
		}
		defer b.run()()
		time.Sleep(time.Second)
		b.r.mu.Lock()
		got := slices.Compact(b.r.got["a"])
		b.r.mu.Unlock()
		if want := []string{"shop-0001", "shop-0002", "shop-0003"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestRemovedWebhook(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.r.answer = func(string, string, int) (int, http.Header, error) {
			time.Sleep(5 * time.Second)
			return http.StatusOK, nil, nil
		}
		b.hook("a")
		defer b.run()()
		b.publish("shop", 3)
		time.Sleep(time.Second)
		b.update(func(tx *store.Tx) error { return tx.DeleteWebhook("a") })
		time.Sleep(time.Minute)
		if n := b.r.requests("a"); n != 1 {
			t.Errorf("%d requests, want the one that was under way", n)
		}
		b.update(func(tx *store.Tx) error { return tx.ForgetDeliveries(time.Now()) })
	})
}

// TestReceiver verifies a request over a real connection as receivers do: with
// the library of Standard Webhooks.
func TestReceiver(t *testing.T) {
	t.Parallel()
	key := []byte(strings.Repeat("k", 32))
	wh, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = wh.Verify(body, r.Header)
		}
		if r.Header.Get("Content-Type") != "application/json" {
			err = errors.Join(err, fmt.Errorf("content type %q", r.Header.Get("Content-Type")))
		}
		got <- err
		fmt.Fprint(w, strings.Repeat("much to say ", 100_000)) // which is not read to its end
	}))
	defer receiver.Close()
	s := storetest.Memory(t)
	loopback, err := outbound.New("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	h, err := hooks.New(hooks.Config{Store: s, Keys: keys{}, Log: slog.New(slog.DiscardHandler), Reach: loopback})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	e, err := eventbridge.TestEvent("123456789012", "us-east-1", "arn", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.InsertWebhook(slipway.Webhook{ID: "a", URL: receiver.URL, Secret: key}), tx.InsertDelivery("a", e))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the receiver refuses it: %v", err)
	}
	for {
		var list []slipway.Delivery
		if err := s.View(ctx, func(tx *store.Tx) (err error) { list, err = tx.Deliveries("a", 0, 1); return err }); err != nil {
			t.Fatal(err)
		}
		if list[0].State == slipway.DeliveryDelivered {
			break
		}
		<-time.After(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
