package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/codehost"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/store"
)

// TestHandshake completes a connection, from the command line over a signed call
// and the provider's answer to a sealed credential in the database.
func TestHandshake(t *testing.T) {
	t.Parallel()
	const token = "ghp_0123456789abcdef"
	github := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/user" || r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"message":"Bad credentials"}`)
		}
	}))
	defer github.Close()
	b := gatewaytest.New(t)
	b.Clock.Advance(time.Since(gatewaytest.T0))
	keys, err := seal.Open(t.Context(), seal.Config{
		Store: b.Store, File: filepath.Join(t.TempDir(), "master.key"), Log: slog.New(slog.NewTextHandler(b.Logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := codehost.New(codehost.Config{GitHub: github.URL})
	if err != nil {
		t.Fatal(err)
	}
	apprunner, err := api.New(api.Config{
		Store: b.Store, Region: gatewaytest.Region, Account: gatewaytest.Account, Domain: "slipway.localhost", Provider: hosts, Vault: keys,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{apprunner.Service()})
	endpoint := httptest.NewServer(b.Handler)
	defer endpoint.Close()
	s := &session{t: t, env: map[string]string{
		"SLIPWAY_ENDPOINT": endpoint.URL, "SLIPWAY_DATA_DIR": t.TempDir(), "HOME": t.TempDir(),
		"AWS_ACCESS_KEY_ID": b.Key.ID, "AWS_SECRET_ACCESS_KEY": b.Key.Secret,
	}}
	runs := func(want int, says string, args ...string) {
		t.Helper()
		code, stdout, stderr := s.quietly(t.Context(), args...)
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("slipway %v: exit %d, want %d\n%s%s", args, code, want, stdout, stderr)
		}
	}
	runs(0, "Connection code is created", "connection", "create", "code")
	s.stdin = "ghp_wrong"
	runs(1, "GITHUB refused the token: Bad credentials", "connection", "complete", "code")
	s.stdin = token + "\n"
	runs(0, "Connection code is AVAILABLE.", "connection", "complete", "code")
	runs(0, "AVAILABLE", "connection", "ls")

	var c struct{ arn, credential string }
	b.Update(func(tx *store.Tx) error {
		v, err := tx.ConnectionByName("code")
		c.arn, c.credential = v.ARN, string(v.Credential)
		return err
	})
	if opened, err := keys.Open("connection credential "+c.arn, []byte(c.credential)); err != nil || string(opened) != token {
		t.Errorf("what is kept opens as %q, %v", opened, err)
	}
	if _, err := keys.Open("connection credential "+c.arn+"x", []byte(c.credential)); err == nil {
		t.Error("what is kept opens for another connection, too")
	}
	assertNowhere(t, b, token)
	runs(0, "Connection code is deleted.", "connection", "rm", "code", "--yes")
}

// assertNowhere asserts that a secret is neither in the database's files nor in
// the log.
func assertNowhere(t *testing.T, b *gatewaytest.Bench, secret string) {
	t.Helper()
	if strings.Contains(b.Logged.String(), secret) {
		t.Error("the log has the secret")
	}
	files, err := filepath.Glob(filepath.Join(b.Dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the database's files: %v, %v", files, err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s has the secret (%v)", file, err)
		}
	}
}
