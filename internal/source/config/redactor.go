package config

import (
	"slices"
	"strings"
)

// Redactor replaces what looks like a credential in texts for people.
type Redactor struct{ hidden []string }

const redacted = "[redacted]"

// NewRedactor returns the redactor of a file's source.
func NewRedactor(data []byte) *Redactor {
	return parsed("", data).redactor
}

func newRedactor(t *text, found []credential) *Redactor {
	r := &Redactor{}
	for _, c := range found {
		for line := range strings.Lines(string(t.src[c.start:c.end])) {
			r.hide(strings.TrimSpace(line))
		}
	}
	return r
}

func (r *Redactor) hide(s string) {
	if len(s) < 4 || slices.Contains(r.hidden, s) {
		return
	}
	r.hidden = append(r.hidden, s)
	slices.SortFunc(r.hidden, func(a, b string) int { return len(b) - len(a) })
}

// Redact returns s without credentials.
func (r *Redactor) Redact(s string) string {
	for _, h := range r.hidden {
		s = strings.ReplaceAll(s, h, redacted)
	}
	return s
}
