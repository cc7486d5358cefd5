package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Version says how a program was built: the command line's own, or a server's.
type Version struct {
	Version  string `json:"Version"`            // "v1.2.3", or "devel"
	Commit   string `json:"Commit,omitempty"`   // of the sources, if the build recorded it
	Time     string `json:"Time,omitempty"`     // of that commit, RFC 3339
	Modified bool   `json:"Modified,omitempty"` // the sources differ from the commit
	Go       string `json:"Go"`
	Platform string `json:"Platform"`
}

// String returns one line for people.
func (v Version) String() string {
	s := v.Version
	if v.Commit != "" {
		s += " (commit " + v.Commit[:min(12, len(v.Commit))]
		if v.Modified {
			s += ", modified"
		}
		if at, err := time.Parse(time.RFC3339, v.Time); err == nil {
			s += ", " + at.UTC().Format(time.DateOnly)
		}
		s += ")"
	}
	return s + " " + v.Platform + " " + v.Go
}

// versionTimeout is how long a server may take to tell its version.
const versionTimeout = 5 * time.Second

// ServerVersion returns how the server at the target was built. It needs no access key.
func ServerVersion(ctx context.Context, t Target) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Endpoint.String()+"/version", nil)
	if err != nil {
		return Version{}, fmt.Errorf("version of %s: %w", t.Endpoint, err)
	}
	resp, err := (&http.Client{Transport: t.transport()}).Do(req)
	if err != nil {
		return Version{}, err
	}
	defer resp.Body.Close()
	var v Version
	doc, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return Version{}, err
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(doc, &v) != nil || v.Version == "" {
		return Version{}, &Problem{
			Text: "the server at " + t.Endpoint.String() + " does not tell its version",
			Hint: "It may be older than this program, or no Slipway server.",
		}
	}
	return v, nil
}
