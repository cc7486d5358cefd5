package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/awshttp"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// serveAPI serves the API, the registry, health and metrics until ctx ends.
func (s *server) serveAPI(ctx context.Context) error {
	reg, err := s.registryHandler()
	if err != nil {
		return err
	}
	calls, err := awshttp.New(awshttp.Config{Gateway: s.gateway, Region: s.cfg.Region})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", calls)
	mux.Handle("/v2/", reg)
	mux.Handle("GET /v2", reg)
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /metrics", s.metrics.Handler())
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := srv.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close() // an upload that would not end: it can be resumed
		}
		done <- err
	}()
	if err := srv.Serve(s.apiListener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return <-done
}

// health answers 200 while requests can be served and the store answers.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	err := s.store.View(ctx, func(*store.Tx) error { return nil })
	switch {
	case !s.serving.Load():
		http.Error(w, "starting", http.StatusServiceUnavailable)
	case err != nil:
		s.log.Error("the store does not answer", "err", err)
		http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}

// authenticator checks the registry's users: AWS with a token of ECR's API, or
// access keys with the secret as password, and what policies let them do.
// Temporary credentials need a token of ECR's: the password leaves no room for
// their own.
type authenticator struct {
	gateway *gateway.Gateway
	tokens  *ecr.Tokens
	arn     func(repository string) string
}

func (a authenticator) check(ctx context.Context, user, password string) (bool, error) {
	_, ok, err := a.caller(ctx, user, password)
	return ok, err
}

func (a authenticator) caller(ctx context.Context, user, password string) (gateway.Caller, bool, error) {
	if user == ecr.TokenUser {
		return a.tokens.Check(ctx, password)
	}
	caller, key, ok, err := a.gateway.Caller(ctx, user)
	if err != nil || !ok || key.Token != "" {
		return gateway.Caller{}, false, err
	}
	return caller, subtle.ConstantTimeCompare([]byte(key.Secret), []byte(password)) == 1, nil
}

// permit decides by policies, as the API does.
func (a authenticator) permit(r *http.Request, action, repository string) (string, error) {
	user, password, _ := r.BasicAuth()
	caller, ok, err := a.caller(r.Context(), user, password)
	if err != nil {
		return "", err
	}
	if !ok { // it was deleted, or ended, just now
		return "The credentials are no longer good.", nil
	}
	resource := "*"
	if repository != "" {
		resource = a.arn(repository)
	}
	err = a.gateway.Permit(r.Context(), awshttp.CallerFrom(caller, r), gateway.Permission{Action: action, Resource: resource})
	if denied, ok := errors.AsType[*wire.Exception](err); ok {
		return denied.Message, nil
	}
	return "", err
}

func parseQuotas(list []string) (api.Quotas, error) {
	var q api.Quotas
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			return q, fmt.Errorf("--quota is %q; it must be name=number, where -1 is no limit", text)
		}
		if err := q.Set(name, n); err != nil {
			return q, fmt.Errorf("--quota: %w", err)
		}
	}
	return q, nil
}
