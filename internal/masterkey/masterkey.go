// Package masterkey is the operations on the key that secrets are kept under:
// to describe it and to replace it while the server runs. They are Slipway's
// own, for `slipway key`; the key itself is internal/seal's.
package masterkey

import (
	"context"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/seal"
)

// Input is the input of both operations: they take nothing.
type Input struct{}

// Output describes the master key.
type Output struct {
	PublicKey string    // in the form of age
	Since     time.Time // when it became the master key
	DataKeys  int       // that are wrapped with it
	Encrypted bool      // its file is, with a passphrase
}

// Service returns the operations for the gateway.
func Service(keys *seal.Keyring) gateway.Service {
	describe := func(context.Context, *gateway.Call, *Input) (*Output, error) { return output(keys.Master()), nil }
	rotate := func(ctx context.Context, call *gateway.Call, _ *Input) (*Output, error) {
		// A caller that goes away must not end a rotation half-way.
		m, err := keys.Rotate(context.WithoutCancel(ctx), call.Update)
		return output(m), err
	}
	return gateway.Service{
		Name:     "apprunner",
		Internal: "InternalServiceErrorException",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.0", Targets: []string{"Slipway."}},
		Operations: []gateway.Operation{
			gateway.Read("DescribeMasterKey", describe, gateway.AnyResource),
			gateway.Mutate("RotateMasterKey", rotate, gateway.AnyResource),
		},
	}
}

func output(m seal.Master) *Output {
	return &Output{PublicKey: m.Public, Since: m.Since, DataKeys: m.DataKeys, Encrypted: m.Encrypted}
}
