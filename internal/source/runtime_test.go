package source_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source"
)

// Image and code sources give the same runtime, and what a source leaves out is
// empty.
func TestRuntimeOf(t *testing.T) {
	t.Parallel()
	port, command := aws.String("3000"), aws.String("npm start")
	env, refs := map[string]string{"A": "b"}, map[string]string{"TOKEN": "/token"}
	full := source.Runtime{Port: "3000", Command: "npm start", Environment: env, Secrets: refs}
	code := func(c *types.CodeConfiguration) types.SourceConfiguration {
		return types.SourceConfiguration{CodeRepository: &types.CodeRepository{CodeConfiguration: c}}
	}
	for name, c := range map[string]struct {
		source types.SourceConfiguration
		want   source.Runtime
	}{
		"image": {types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageConfiguration: &types.ImageConfiguration{
			Port: port, StartCommand: command, RuntimeEnvironmentVariables: env, RuntimeEnvironmentSecrets: refs,
		}}}, full},
		"code": {code(&types.CodeConfiguration{CodeConfigurationValues: &types.CodeConfigurationValues{
			Port: port, StartCommand: command, RuntimeEnvironmentVariables: env, RuntimeEnvironmentSecrets: refs,
		}}), full},
		"image without configuration":     {types.SourceConfiguration{ImageRepository: &types.ImageRepository{}}, source.Runtime{}},
		"image with an empty one":         {types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageConfiguration: &types.ImageConfiguration{}}}, source.Runtime{}},
		"code configured by a repository": {code(&types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository}), source.Runtime{}},
		"code without configuration":      {code(nil), source.Runtime{}},
		"nothing":                         {types.SourceConfiguration{}, source.Runtime{}},
	} {
		if d := cmp.Diff(c.want, source.RuntimeOf(slipway.Spec{Source: c.source})); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestImageIdentifier(t *testing.T) {
	t.Parallel()
	image := types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageIdentifier: aws.String("shop:1")}}
	if got := source.ImageIdentifier(image); got != "shop:1" {
		t.Errorf("%q", got)
	}
	if got := source.ImageIdentifier(types.SourceConfiguration{CodeRepository: &types.CodeRepository{}}); got != "" {
		t.Errorf("%q of a source of code", got)
	}
}
