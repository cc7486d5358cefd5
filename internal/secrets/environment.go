package secrets

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/seal"
)

// SealEnvironment seals variables by name. owner names what they belong to: an
// operation or a release.
func SealEnvironment(k *seal.Keyring, owner string, values map[string]string) ([]byte, error) {
	b, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	return k.Seal("environment of "+owner, b), nil
}

// OpenEnvironment returns the variables that were sealed for the same owner.
func OpenEnvironment(k *seal.Keyring, owner string, sealed []byte) (values map[string]string, err error) {
	b, err := k.Open("environment of "+owner, sealed)
	if err == nil {
		err = json.Unmarshal(b, &values)
	}
	if err != nil {
		return nil, fmt.Errorf("open the environment of %s: %w", owner, err)
	}
	return values, nil
}

// ReleaseOwner is the owner of a release's variables.
func ReleaseOwner(id string) string { return "release " + id }

// Environment returns the environment of a release's process: its plain
// variables and the values of its secrets.
func Environment(k *seal.Keyring, r slipway.Release) ([]string, error) {
	if len(r.Secrets) == 0 {
		return r.Process.Env, nil
	}
	values, err := OpenEnvironment(k, ReleaseOwner(r.ID), r.Secrets)
	if err != nil {
		return nil, err
	}
	env := slices.DeleteFunc(slices.Clone(r.Process.Env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, secret := values[name]
		return secret
	})
	for _, name := range slices.Sorted(maps.Keys(values)) {
		env = append(env, name+"="+values[name])
	}
	return env, nil
}
