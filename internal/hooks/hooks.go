package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/store"
)

// Config configures Hooks.
type Config struct {
	Store *store.Store
	Keys  Keys
	Log   *slog.Logger
	Loops *loop.Set // shows how the loop is doing; nil is allowed

	// Reach says which addresses of webhooks are connected to; nil: those on the
	// internet only.
	Reach *outbound.Policy

	// Transport sends the requests; nil for a transport with the limits below, which
	// Reach decides for.
	Transport http.RoundTripper

	// Observe, if not nil, is called after each attempt with the resulting
	// state of the delivery: DELIVERED, DEAD, or DUE for another attempt.
	Observe func(state slipway.DeliveryState)

	Timeout  time.Duration // of one attempt, 15 s when 0
	Attempts int           // to one webhook at once, 4 when 0
}

// Keys seals the signing keys of webhooks. The context names the owner of a key;
// a sealed key opens only with the same context.
type Keys interface {
	Seal(context string, secret []byte) []byte
	Open(context string, sealed []byte) ([]byte, error)
}

// Hooks delivers events. New makes it; Run delivers.
type Hooks struct {
	cfg    Config
	client http.Client
}

const (
	pollInterval = 5 * time.Minute // between reads of the deliveries without a change
	afterError   = time.Second     // pause after an error of the database
)

// New checks cfg and returns a Hooks that sends nothing until Run.
func New(cfg Config) (*Hooks, error) {
	if cfg.Store == nil || cfg.Keys == nil || cfg.Log == nil {
		return nil, errors.New("hooks: store, keys and log are required")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = 4
	}
	if cfg.Observe == nil {
		cfg.Observe = func(slipway.DeliveryState) {}
	}
	if cfg.Transport == nil {
		cfg.Transport = cfg.Reach.Transport(&http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSHandshakeTimeout:    cfg.Timeout,
			MaxConnsPerHost:        0, // no limit: two webhooks may share a host
			MaxIdleConnsPerHost:    cfg.Attempts,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		})
	}
	return &Hooks{cfg: cfg, client: http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Run delivers until ctx ends. It then interrupts the attempts in flight; the
// next Run makes them again.
func (h *Hooks) Run(ctx context.Context) error {
	watch := h.cfg.Store.Watch(store.Events)
	defer watch.Close()
	var sending sync.WaitGroup
	defer sending.Wait()
	busy := inFlight{}
	ended := make(chan slipway.Delivery)
	timer := time.NewTimer(0)
	defer timer.Stop()
	turns := h.cfg.Loops.Enter("webhooks")
	defer turns.Leave()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-watch.C:
			watch.Take()
		case d := <-ended:
			busy.end(d)
		}
		var due []outgoing
		var wait time.Duration
		err := turns.Do(func() (err error) {
			due, wait, err = h.due(ctx, busy)
			return err
		})
		if err != nil && ctx.Err() == nil {
			h.cfg.Log.Error("read due deliveries", "err", err)
			wait = afterError
		}
		for _, p := range due {
			busy.begin(p.delivery)
			sending.Go(func() {
				h.attempt(ctx, p)
				select {
				case ended <- p.delivery:
				case <-ctx.Done():
				}
			})
		}
		timer.Reset(wait)
	}
}

// outgoing is a delivery and its webhook.
type outgoing struct {
	hook     slipway.Webhook
	delivery slipway.Delivery
}

// due returns the deliveries to send now, and how long until the next one.
func (h *Hooks) due(ctx context.Context, busy inFlight) (list []outgoing, wait time.Duration, err error) {
	now := time.Now()
	wait = pollInterval
	err = h.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) error {
		hooks, err := tx.Webhooks()
		if err != nil {
			return err
		}
		for _, hook := range hooks {
			// The store still lists those in flight as due.
			due, err := tx.DueDeliveries(hook.ID, now, h.cfg.Attempts+len(busy[hook.ID]))
			if err != nil {
				return err
			}
			for _, d := range busy.pick(hook.ID, due, h.cfg.Attempts) {
				list = append(list, outgoing{hook, d})
			}
			next, err := tx.NextDelivery(hook.ID, now)
			if err != nil {
				return err
			}
			if !next.IsZero() {
				wait = min(wait, next.Sub(now))
			}
		}
		return nil
	})
	if err == nil && len(list) > 0 {
		err = h.cfg.Store.Sync() // only durable events leave the process
	}
	if err != nil {
		list = nil
	}
	return list, wait, err
}

// attempt sends one delivery and saves its outcome.
func (h *Hooks) attempt(ctx context.Context, p outgoing) {
	began := time.Now()
	r := h.send(ctx, p)
	if ctx.Err() != nil {
		return // interrupted: the receiver may or may not have it
	}
	d := after(p.delivery, r, time.Now(), rand.Float64())
	h.cfg.Observe(d.State)
	log := h.cfg.Log.With("webhook", d.WebhookID, "event", d.Event.ID, "service", d.Event.ServiceID,
		"attempt", d.Attempts, "status", d.Status, "took", time.Since(began))
	// Unsynced: a delivery that a power loss undoes is sent again.
	err := h.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error { return tx.SaveDelivery(d) })
	switch {
	case errors.Is(err, store.ErrNotFound):
		log.Info("webhook was removed during a delivery")
	case err != nil && ctx.Err() == nil:
		log.Error("could not save the outcome of a delivery; it will be sent again", "err", err)
		loop.Pause(ctx, afterError)
	case d.State == slipway.DeliveryDelivered:
		log.Debug("event delivered")
	case d.State == slipway.DeliveryDead:
		log.Info("event given up", "problem", d.Problem)
	default:
		log.Info("delivery failed; will retry", "problem", d.Problem, "next", d.NextAt)
	}
}

// send makes one attempt.
func (h *Hooks) send(ctx context.Context, p outgoing) result {
	key, err := h.cfg.Keys.Open(owner(p.hook.ID), p.hook.Secret)
	if err != nil {
		return result{problem: fmt.Sprintf("the webhook's secret could not be opened: %v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	return post(ctx, &h.client, p.hook.URL, p.delivery.Event, key, time.Now())
}

// owner returns the context that a webhook's key is sealed with.
func owner(webhookID string) string { return "webhook/" + webhookID }
