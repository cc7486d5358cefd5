package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/wire"
)

// printJSON writes v, a struct of ours, as the command's one document.
func (m *Main) printJSON(v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return term.JSON(m.Stdout, doc)
}

// apiJSON is a struct of the SDK that is encoded as the API does it.
type apiJSON struct{ value any }

// MarshalJSON encodes the value.
func (a apiJSON) MarshalJSON() ([]byte, error) { return wire.Marshal(a.value) }

// apiList encodes a list of the SDK's structs; no elements make an empty list.
func apiList[T any](values []T) []apiJSON {
	list := make([]apiJSON, len(values))
	for i := range values {
		list[i] = apiJSON{&values[i]}
	}
	return list
}

// serviceURL makes a URL of the host name, perhaps with a port, that the API
// gives as a service's URL.
func serviceURL(host string) string {
	if host == "" {
		return ""
	}
	if strings.HasSuffix(host, ":443") {
		return "https://" + strings.TrimSuffix(host, ":443")
	}
	return "http://" + host
}

// statusTone colours a status of a service or an operation.
func statusTone(status string) term.Tone {
	switch status {
	case "RUNNING", "SUCCEEDED":
		return term.Good
	case "OPERATION_IN_PROGRESS", "PENDING", "IN_PROGRESS", "ROLLBACK_IN_PROGRESS":
		return term.Warn
	case "CREATE_FAILED", "DELETE_FAILED", "FAILED", "ROLLBACK_SUCCEEDED", "ROLLBACK_FAILED":
		return term.Bad
	case "PAUSED", "DELETED":
		return term.Faint
	}
	return term.Plain
}
