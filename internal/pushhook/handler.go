package pushhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Limits of deliveries.
const (
	MaxBody   = 25 << 20 // bytes; GitHub sends no larger ones
	bodyLimit = 30 * time.Second
	smallBody = 1 << 20
	largeOnce = 4 // bodies that may be larger than smallBody, at a time; others get 503

	maxAge = 72 * time.Hour // of a delivery whose time is known, and of what is remembered of others
	kept   = 2000           // deliveries of a webhook that are remembered

	// The number of requests a second, and in one burst: of one webhook, and of all
	// that belong to none or have a wrong signature. What is beyond gets 429.
	hookRate, hookBurst         = 5, 100
	strangerRate, strangerBurst = 10, 100
)

// Vault opens the secrets of webhooks.
type Vault interface {
	Open(context string, sealed []byte) ([]byte, error)
}

// Config is what a Handler needs. Fields without another word are required.
type Config struct {
	Store *store.Store
	Vault Vault
	Log   *slog.Logger

	// Pushed wakes the services that a push concerns, and returns how many there are.
	Pushed func(ctx context.Context, p slipway.Push) (services int, err error)

	Now func() time.Time // time.Now when nil
}

// Handler answers requests below slipway.PushHookPath.
type Handler struct {
	cfg       Config
	large     chan struct{} // one for each large body in memory
	hooks     buckets
	strangers bucket
}

// New checks cfg.
func New(cfg Config) (*Handler, error) {
	if cfg.Store == nil || cfg.Vault == nil || cfg.Log == nil || cfg.Pushed == nil {
		return nil, errors.New("pushhook: store, vault, log and a receiver of pushes are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Handler{
		cfg: cfg, large: make(chan struct{}, largeOnce),
		hooks:     buckets{rate: hookRate, burst: hookBurst},
		strangers: bucket{rate: strangerRate, burst: strangerBurst},
	}, nil
}

// answer is what a sender gets: a status and a sentence.
type answer struct {
	status int
	text   string
	cause  error // for the log
}

var (
	errUnknown = answer{status: http.StatusUnauthorized, text: "There is no webhook with this address and this signature or token."}
	errBusy    = answer{status: http.StatusTooManyRequests, text: "There are too many deliveries. Polling finds what was pushed."}
)

// ServeHTTP answers one delivery.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.deliver(w, r)
	if a.cause != nil {
		h.cfg.Log.Error("a webhook's delivery could not be handled", "err", a.cause)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	switch a.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set("Retry-After", "10")
	}
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": a.text})
}

func (h *Handler) deliver(w http.ResponseWriter, r *http.Request) answer {
	if r.Method != http.MethodPost {
		return answer{status: http.StatusMethodNotAllowed, text: "Webhooks are delivered by POST."}
	}
	now := h.cfg.Now()
	hook, c, err := h.find(r.Context(), strings.TrimPrefix(r.URL.Path, slipway.PushHookPath))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return h.stranger(now)
	case err != nil:
		return failed(err)
	case !h.hooks.take(hook.ID, now):
		return errBusy
	}
	secret, err := h.cfg.Vault.Open(hook.SecretOwner(), hook.Secret)
	if err != nil {
		return failed(fmt.Errorf("open the secret of the webhook of connection %s: %w", c.Name, err))
	}
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		select {
		case h.large <- struct{}{}:
			defer func() { <-h.large }()
		default:
			return answer{status: http.StatusServiceUnavailable, text: "Other deliveries are being read. Polling finds what was pushed."}
		}
	}
	body, refused := h.read(w, r)
	if refused.status != 0 {
		return refused
	}
	d, ok := verify(c.Provider, r.Header, body, secret, now)
	if !ok {
		return h.stranger(now)
	}
	return h.accept(r.Context(), hook, d, body, now)
}

// stranger answers a sender that could not be verified.
func (h *Handler) stranger(now time.Time) answer {
	if !h.strangers.take(now) {
		return errBusy
	}
	return errUnknown
}

func failed(err error) answer {
	return answer{status: http.StatusInternalServerError, text: "The delivery could not be handled. Polling finds what was pushed.", cause: err}
}

// find returns the webhook of an id and its connection.
func (h *Handler) find(ctx context.Context, id string) (hook slipway.PushHook, c slipway.Connection, err error) {
	if id == "" || len(id) > 64 {
		return hook, c, store.ErrNotFound
	}
	err = h.cfg.Store.View(ctx, func(tx *store.Tx) error {
		var err error
		if hook, err = tx.PushHook(id); err != nil {
			return err
		}
		arn, err := slipway.ParseARN(hook.Connection)
		if err != nil {
			return err
		}
		c, err = tx.ConnectionByName(arn.Name())
		if err == nil && c.ARN != hook.Connection {
			err = store.ErrNotFound
		}
		return err
	})
	return hook, c, err
}

// read reads a body within its limits. An answer with a status is a refusal.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) ([]byte, answer) {
	tooLarge := answer{
		status: http.StatusRequestEntityTooLarge,
		text:   "The body has more than " + strconv.Itoa(MaxBody>>20) + " MiB. Polling finds what was pushed.",
	}
	if r.ContentLength > MaxBody {
		return nil, tooLarge
	}
	// Some ResponseWriters of tests have no deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyLimit))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, tooLarge
	}
	if err != nil {
		return nil, answer{status: http.StatusBadRequest, text: "The body ended early or came too slowly."}
	}
	return body, answer{}
}

// accept handles a delivery that was verified.
func (h *Handler) accept(ctx context.Context, hook slipway.PushHook, d delivery, body []byte, now time.Time) answer {
	p, kind, err := parse(d, body)
	switch {
	case err != nil:
		return answer{status: http.StatusBadRequest, text: "The payload is not understood: " + err.Error() + "."}
	case kind == ping:
		return answer{status: http.StatusOK, text: "The webhook works: its signature or token is right."}
	case kind == other:
		return answer{status: http.StatusAccepted, text: fmt.Sprintf("The event %.100q starts nothing; pushes to branches and tags do.", d.event)}
	case kind == nothing:
		return answer{status: http.StatusAccepted, text: "Nothing was pushed that could be deployed."}
	case !p.at.IsZero() && now.Sub(p.at) > maxAge:
		return answer{status: http.StatusConflict, text: fmt.Sprintf("This push is older than %d hours.", int(maxAge.Hours()))}
	}
	keys := d.keys(body)
	seen := false
	err = h.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { seen, err = tx.PushDelivered(hook.ID, keys); return err })
	if err != nil {
		return failed(err)
	}
	if seen {
		return answer{status: http.StatusConflict, text: "This delivery was accepted before."}
	}
	services, err := h.cfg.Pushed(ctx, slipway.Push{Connection: hook.Connection, URLs: p.urls, Path: p.path, Refs: p.refs})
	if err != nil {
		return failed(err)
	}
	err = h.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		return tx.PutPushDelivery(hook.ID, keys, now, now.Add(-maxAge), kept)
	})
	if err != nil {
		return failed(err)
	}
	h.cfg.Log.Info("push announced", "connection", hook.Connection, "refs", len(p.refs), "services", services)
	return answer{status: http.StatusAccepted, text: "The services of this repository and branch look for the newest commit."}
}
