package source

import (
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

// Runtime is what a specification says about the process of its instances, whether
// their image is pulled or built from code. Empty fields are not set.
type Runtime struct {
	Port        string            // TCP port in decimal
	Command     string            // start command, not split into words
	Environment map[string]string // variables by name
	Secrets     map[string]string // secret references (see slipway.ParseSecretReference) by variable
}

// RuntimeOf returns the runtime settings of a specification. Those of code whose
// configuration is in its repository are empty: they are known once it was read.
func RuntimeOf(spec slipway.Spec) Runtime {
	if r := spec.Source.ImageRepository; r != nil && r.ImageConfiguration != nil {
		c := r.ImageConfiguration
		return newRuntime(c.Port, c.StartCommand, c.RuntimeEnvironmentVariables, c.RuntimeEnvironmentSecrets)
	}
	if r := spec.Source.CodeRepository; r != nil && r.CodeConfiguration != nil && r.CodeConfiguration.CodeConfigurationValues != nil {
		c := r.CodeConfiguration.CodeConfigurationValues
		return newRuntime(c.Port, c.StartCommand, c.RuntimeEnvironmentVariables, c.RuntimeEnvironmentSecrets)
	}
	return Runtime{}
}

func newRuntime(port, command *string, environment, secrets map[string]string) Runtime {
	return Runtime{
		Port: aws.ToString(port), Command: aws.ToString(command),
		Environment: maps.Clone(environment), Secrets: maps.Clone(secrets),
	}
}

// ImageIdentifier returns the image reference that a source names; "" if its image
// is built from code.
func ImageIdentifier(s types.SourceConfiguration) string {
	if s.ImageRepository == nil {
		return ""
	}
	return aws.ToString(s.ImageRepository.ImageIdentifier)
}
