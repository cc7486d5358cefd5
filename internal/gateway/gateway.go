package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/openslipway/slipway/internal/sigv4"
	"github.com/openslipway/slipway/internal/store"
)

// Config is what the gateway needs.
type Config struct {
	Store    *store.Store // of access keys
	Region   string       // of signatures
	Account  string       // twelve digits; of the ARNs of callers
	Services []Service    // the first words the errors of calls that name none
	Log      *slog.Logger

	// Policies are what users but root may do; nil is nothing.
	Policies Policies

	// Unseal opens the secret of an access key as the store holds it; nil when
	// it holds secrets as they are.
	Unseal func(keyID, sealed string) (string, error)

	Audit Auditor // nil when nothing keeps records

	Now func() time.Time // time.Now when nil

	// BodyWithin is how long a request's body may take to arrive, 30 s when 0.
	BodyWithin time.Duration

	// Observe, if not nil, is called after each call with the name of its
	// operation ("" for an unknown one) and of its exception ("" for success).
	Observe func(operation, exception string, took time.Duration)
}

// Gateway is the endpoint. It is an http.Handler for POST /.
type Gateway struct {
	cfg      Config
	verifier *sigv4.Verifier
	targets  map[string]target  // of AWS JSON, by X-Amz-Target
	forms    map[string]Service // of the query protocol, by signing name
	attempts attempts
}

// maxBody bounds a request's body in bytes. It leaves room for some twenty
// environment variables of the longest value that the model allows; no process
// can be started with more.
const maxBody = 1 << 20

// New checks cfg and returns the endpoint.
func New(cfg Config) (*Gateway, error) {
	if cfg.Store == nil || cfg.Log == nil || cfg.Region == "" || cfg.Account == "" || len(cfg.Services) == 0 {
		return nil, errors.New("gateway: store, region, account, services and log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.BodyWithin == 0 {
		cfg.BodyWithin = 30 * time.Second
	}
	g := &Gateway{
		cfg:      cfg,
		verifier: &sigv4.Verifier{MaxBody: maxBody, Now: cfg.Now},
		targets:  map[string]target{},
		forms:    map[string]Service{},
		attempts: attempts{known: map[attemptID]*attempt{}},
	}
	for _, s := range cfg.Services {
		for _, o := range s.Operations {
			if o.RequiredPermissions == nil {
				return nil, fmt.Errorf("gateway: %s of %s does not declare what permissions it needs; see Operation.Requiring", o.Name, s.SigningName)
			}
		}
		if s.query() {
			g.forms[s.SigningName] = s
			continue
		}
		for name, o := range s.Operations {
			if _, twice := g.targets[name]; twice {
				return nil, fmt.Errorf("gateway: two services answer %s", name)
			}
			g.targets[name] = target{o, s}
		}
	}
	return g, nil
}
