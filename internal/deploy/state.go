package deploy

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source"
)

// state is what the steps of an operation leave for later ones.
type state struct {
	Artifact *source.Artifact `json:",omitempty"`
	Release  string           `json:",omitempty"` // the one being deployed
	Secrets  []byte           `json:",omitempty"` // sealed values that were read and are not the release's yet
	Previous string           `json:",omitempty"` // the one that served when the operation began
	Spec     *slipway.Spec    `json:",omitempty"` // the service's before the route step

	DrainUntil time.Time `json:",omitzero"`
}

func load(op *slipway.Operation) (state, error) {
	var st state
	if len(op.State) == 0 {
		return st, nil
	}
	if err := json.Unmarshal(op.State, &st); err != nil {
		return st, fmt.Errorf("read the state of operation %s: %w", op.ID, err)
	}
	return st, nil
}

func save(op *slipway.Operation, st state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("write the state of operation %s: %w", op.ID, err)
	}
	op.State = b
	return nil
}
