//go:build linux

package main

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An error that keeps the server from serving is reported as it is, not as the
// error of a call to a server.
func TestServeSaysWhyNot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the server needs root")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	serve := func(t *testing.T, dir, addr string) string {
		t.Helper()
		code, _, stderr := newSession(t).quietly(t.Context(), "serve",
			"--data-dir", dir, "--api-addr", addr, "--http-addr", "127.0.0.1:0", "--isolated", "--warm", "0")
		if code != exitFailed || strings.Contains(stderr, "no server answers") {
			t.Errorf("exit code %d and %q", code, stderr)
		}
		return stderr
	}
	if got := serve(t, t.TempDir(), taken.Addr().String()); !strings.Contains(got, "listen at --api-addr") || !strings.Contains(got, "address already in use") {
		t.Errorf("a port in use: %q", got)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "runtime", "lock"), 0o700); err != nil { // where the runtime creates a file
		t.Fatal(err)
	}
	if got := serve(t, dir, "127.0.0.1:0"); !strings.Contains(got, "lock the embedded runtime's directory") {
		t.Errorf("a part that fails: %q", got)
	}
}

// The log is for people on a terminal only.
func TestLogFormats(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	m := &Main{Stderr: &b, Getenv: func(string) string { return "" }}
	m.logger(logAuto, slog.LevelInfo).Info("serving", "api", "x")
	m.logger(logJSON, slog.LevelInfo).Info("serving", "api", "x")
	if text := b.String(); !strings.Contains(text, "level=INFO msg=serving api=x\n") || !strings.Contains(text, `"level":"INFO","msg":"serving","api":"x"}`) {
		t.Errorf("logged %s", text)
	}
	tt := newTerminal(t, 80)
	m.Stderr = tt.File
	m.logger(logAuto, slog.LevelInfo).Info("serving", "api", "x")
	m.logger(logText, slog.LevelInfo).Info("serving", "api", "x")
	if text := colours.ReplaceAllString(tt.shown(t), ""); !strings.Contains(text, " INFO  serving api=x\n") || !strings.Contains(text, "level=INFO msg=serving api=x\n") {
		t.Errorf("shown %s", text)
	}
	if code, _, stderr := newSession(t).quietly(t.Context(), "serve", "--log-format", "xml"); code != exitUsage || !strings.Contains(stderr, `"xml" is no form of log lines; it can be auto, text or json`) {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
