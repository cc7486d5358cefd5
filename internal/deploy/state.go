package deploy

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source"
)

// state is what the steps of an operation save for later steps.
type state struct {
	Artifact  *source.Artifact     `json:",omitempty"`
	Code      *slipway.CodeVersion `json:",omitempty"` // the commit to deploy, or that Artifact was built from
	Release   string               `json:",omitempty"` // id of the release that a deployment inserts; drawn in begin
	Secrets   []byte               `json:",omitempty"` // sealed values that the release does not have yet
	SealedFor string               `json:",omitempty"` // id of the release that Secrets are sealed for
	Previous  string               `json:",omitempty"` // id of the release that was active when the operation began
	Spec      *slipway.Spec        `json:",omitempty"` // the service's specification before the route step

	DrainFor time.Duration `json:",omitempty"` // how long the drain step waits; 0: an earlier version began the operation
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
