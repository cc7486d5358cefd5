package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

// Config is what Hooks needs.
type Config struct {
	Store *store.Store
	Keys  Keys
	Log   *slog.Logger

	// Transport sends the requests; a transport of our own when nil.
	Transport http.RoundTripper

	// Observe, if not nil, is called after each attempt with what it left of the
	// delivery: DELIVERED, DEAD, or DUE for another attempt.
	Observe func(state slipway.DeliveryState)

	Timeout  time.Duration // of one attempt, 15 s when 0
	Attempts int           // to one webhook at once, 4 when 0
}

// Keys seals the webhooks' signing keys. The context says whose a key is; it
// opens under the same one alone.
type Keys interface {
	Seal(context string, secret []byte) []byte
	Open(context string, sealed []byte) ([]byte, error)
}

// Hooks delivers. Make it with New and call Run.
type Hooks struct {
	cfg    Config
	client http.Client
}

const (
	look       = 5 * time.Minute // at the deliveries without being told to
	afterError = time.Second     // of the database
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
		cfg.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
			TLSHandshakeTimeout:    cfg.Timeout,
			MaxConnsPerHost:        0, // two webhooks may share a host
			MaxIdleConnsPerHost:    cfg.Attempts,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return &Hooks{cfg: cfg, client: http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Run delivers until ctx ends. Attempts that are under way then are broken off,
// and made again by the next Run.
func (h *Hooks) Run(ctx context.Context) error {
	watch := h.cfg.Store.Watch(store.Events)
	defer watch.Close()
	var sending sync.WaitGroup
	defer sending.Wait()
	busy := underway{}
	ended := make(chan slipway.Delivery)
	timer := time.NewTimer(0)
	defer timer.Stop()
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
		due, wait, err := h.due(ctx, busy)
		if err != nil && ctx.Err() == nil {
			h.cfg.Log.Error("read what is to be delivered", "err", err)
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

// parcel is a delivery and where it goes.
type parcel struct {
	hook     slipway.Webhook
	delivery slipway.Delivery
}

// due returns what is to be sent now, and how long there is nothing more to do.
func (h *Hooks) due(ctx context.Context, busy underway) (list []parcel, wait time.Duration, err error) {
	now := time.Now()
	wait = look
	err = h.cfg.Store.View(ctx, func(tx *store.Tx) error {
		hooks, err := tx.Webhooks()
		if err != nil {
			return err
		}
		for _, hook := range hooks {
			// Those under way are still due in the store.
			due, err := tx.DueDeliveries(hook.ID, now, h.cfg.Attempts+len(busy[hook.ID]))
			if err != nil {
				return err
			}
			for _, d := range busy.pick(hook.ID, due, h.cfg.Attempts) {
				list = append(list, parcel{hook, d})
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
		err = h.cfg.Store.Sync() // nobody outside is told what a loss of power may undo
	}
	if err != nil {
		list = nil
	}
	return list, wait, err
}

// attempt sends one parcel and saves what came of it.
func (h *Hooks) attempt(ctx context.Context, p parcel) {
	began := time.Now()
	r := h.send(ctx, p)
	if ctx.Err() != nil {
		return // broken off: nobody knows what the receiver made of it
	}
	d := after(p.delivery, r, time.Now(), rand.Float64())
	h.cfg.Observe(d.State)
	log := h.cfg.Log.With("webhook", d.WebhookID, "event", d.Event.ID, "service", d.Event.ServiceID,
		"attempt", d.Attempts, "status", d.Status, "took", time.Since(began))
	// Unsynced: what a loss of power takes of it is sent again.
	err := h.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error { return tx.SaveDelivery(d) })
	switch {
	case errors.Is(err, store.ErrNotFound):
		log.Info("webhook was removed during a delivery")
	case err != nil && ctx.Err() == nil:
		log.Error("outcome of a delivery could not be saved; it is sent again", "err", err)
		loop.Pause(ctx, afterError)
	case d.State == slipway.DeliveryDelivered:
		log.Debug("event delivered")
	case d.State == slipway.DeliveryDead:
		log.Warn("event given up", "problem", d.Problem)
	default:
		log.Info("delivery failed and will be tried again", "problem", d.Problem, "next", d.NextAt)
	}
}

// send makes one attempt.
func (h *Hooks) send(ctx context.Context, p parcel) result {
	key, err := h.cfg.Keys.Open(owner(p.hook.ID), p.hook.Secret)
	if err != nil {
		return result{problem: fmt.Sprintf("the webhook's secret could not be opened: %v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	return post(ctx, &h.client, p.hook.URL, p.delivery.Event, key, time.Now())
}

// owner is whose a webhook's key is.
func owner(webhookID string) string { return "webhook/" + webhookID }
