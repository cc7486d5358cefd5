package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

// maxRedirects is how many redirects a download may take.
const maxRedirects = 10

// fetch writes the file at the URL of a graph.Fetch, with the time that its server says.
func fetch(ctx context.Context, from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var f graph.Fetch
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	client := &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return errors.New("too many redirects")
		}
		if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("it redirects from https to " + r.URL.Scheme)
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "slipway")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", answer.Status)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, sum), answer.Body); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := out.Close(); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); f.Checksum != "" && f.Checksum != got {
		if !strings.HasPrefix(f.Checksum, "sha256:") {
			return fmt.Errorf("its checksum %q is not one of SHA-256", f.Checksum)
		}
		return fmt.Errorf("its checksum is %s, not %s", got, f.Checksum)
	}
	at, err := http.ParseTime(answer.Header.Get("Last-Modified"))
	if err != nil {
		at = time.Unix(0, 0) // so that the same file gives the same layer
	}
	return os.Chtimes(to, at, at)
}
