package main

import (
	"encoding/json"
	"fmt"

	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/wire"
)

// guardTerminals lets nothing through to a terminal that one acts on but line breaks,
// tabs and colours, whatever applications and other users have put into what a command
// shows. Results that go elsewhere pass as they are: they may be for programs.
func (m *Main) guardTerminals() {
	if term.IsTerminal(m.Stdout) {
		m.Stdout = term.Guard(m.Stdout, m.outStyle().Color)
	}
	m.Stderr = term.Guard(m.Stderr, m.errStyle().Color)
}

// printJSON writes v as the command's only document.
func (m *Main) printJSON(v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	m.printed = true
	return term.JSON(m.Stdout, doc)
}

// apiJSON encodes a struct of the SDK as the API does.
type apiJSON struct{ value any }

// MarshalJSON encodes the value.
func (a apiJSON) MarshalJSON() ([]byte, error) { return wire.Marshal(a.value) }

// apiList encodes a list of the SDK's structs. It is never null.
func apiList[T any](values []T) []apiJSON {
	list := make([]apiJSON, len(values))
	for i := range values {
		list[i] = apiJSON{&values[i]}
	}
	return list
}

// statusTone returns the tone of a service's or operation's status.
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
