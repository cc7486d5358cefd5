package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// session is a user at a shell, with a fake server.
type session struct {
	t      *testing.T
	server *fakeServer
	env    map[string]string
	stdin  string
	start  StartServer

	transcript bytes.Buffer
}

func newSession(t *testing.T) *session {
	t.Helper()
	s := &session{t: t, server: newFakeServer(t)}
	s.env = map[string]string{
		"SLIPWAY_ENDPOINT":      s.server.URL,
		"SLIPWAY_DATA_DIR":      t.TempDir(),
		"AWS_ACCESS_KEY_ID":     fakeKey,
		"AWS_SECRET_ACCESS_KEY": fakeSecret,
		"HOME":                  t.TempDir(),
	}
	return s
}

// run runs one command, records it in the transcript and returns its exit code.
func (s *session) run(args ...string) int {
	s.t.Helper()
	return s.runAs(strings.Join(args, " "), args...)
}

// runAs is run with arguments that are shown in another form.
func (s *session) runAs(shown string, args ...string) int {
	s.t.Helper()
	code, stdout, stderr := s.quietly(s.t.Context(), args...)
	for i, word := range strings.Fields(shown) { // a path shown by its last element
		if i < len(args) && word != args[i] {
			stderr = strings.ReplaceAll(stderr, args[i], word)
		}
	}
	fmt.Fprintf(&s.transcript, "$ slipway %s\n", shown)
	for _, part := range []struct{ mark, text string }{{"", stdout}, {"stderr: ", stderr}} {
		for line := range strings.Lines(part.text) {
			s.transcript.WriteString(part.mark + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	fmt.Fprintf(&s.transcript, "exit %d\n\n", code)
	return code
}

// quietly runs one command without recording it.
func (s *session) quietly(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	m := &Main{
		Stdin:       strings.NewReader(s.stdin),
		Stdout:      &out,
		Stderr:      &errs,
		Getenv:      func(name string) string { return s.env[name] },
		Now:         func() time.Time { return epoch.Add(2 * time.Hour) },
		StartServer: s.start,
	}
	code = m.Run(ctx, args)
	return code, out.String(), errs.String()
}

// writeKeys writes a server's credentials file into dir.
func writeKeys(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = %s\n", fakeKey, fakeSecret, fakeRegion)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Digests and sizes depend on how the Go release compresses.
var (
	digests   = regexp.MustCompile(`sha256:[0-9a-f]{12,64}`)
	byteSizes = regexp.MustCompile(`\b[0-9.]+ k?B\b *|"Size": [0-9]+`)
)

// golden compares the transcript with testdata/golden/<test>.txt.
func (s *session) golden() {
	s.t.Helper()
	got := s.transcript.String()
	for _, dir := range []struct{ real, shown string }{
		{s.server.URL, "http://127.0.0.1:8070"},
		{strings.TrimPrefix(s.server.URL, "http://"), "127.0.0.1:8070"},
		{s.env["SLIPWAY_DATA_DIR"], "/DATA"},
	} {
		if dir.real != "" {
			got = strings.ReplaceAll(got, dir.real, dir.shown)
		}
	}
	got = digests.ReplaceAllString(got, "sha256:DIGEST")
	got = byteSizes.ReplaceAllString(got, "SIZE ")
	file := filepath.Join("testdata", "golden", strings.TrimPrefix(s.t.Name(), "Test")+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatalf("%v (go test ./cmd/slipway -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		s.t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}
