package api

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// change holds what CreateService and UpdateService may change in a
// specification. A nil member leaves its part unchanged.
type change struct {
	source        *types.SourceConfiguration
	instance      *types.InstanceConfiguration
	healthCheck   *types.HealthCheckConfiguration
	network       *types.NetworkConfiguration
	observability *types.ServiceObservabilityConfiguration

	caller gateway.Caller // whose uploads the source may be
}

// defaults returns the specification that CreateService starts from.
// CreateService changes it member by member, as an update does.
func defaults() slipway.Spec {
	h := slipway.DefaultHealthCheck()
	return slipway.Spec{
		Instance: types.InstanceConfiguration{
			Cpu:    aws.String(strconv.Itoa(slipway.DefaultCPU)),
			Memory: aws.String(strconv.Itoa(slipway.DefaultMemory)),
		},
		HealthCheck: types.HealthCheckConfiguration{
			Protocol:           types.HealthCheckProtocolTcp,
			Path:               aws.String(h.Path),
			Interval:           aws.Int32(int32(h.Interval / time.Second)),
			Timeout:            aws.Int32(int32(h.Timeout / time.Second)),
			HealthyThreshold:   aws.Int32(int32(h.HealthyThreshold)),
			UnhealthyThreshold: aws.Int32(int32(h.UnhealthyThreshold)),
		},
		Network: types.NetworkConfiguration{
			EgressConfiguration:  &types.EgressConfiguration{EgressType: types.EgressTypeDefault},
			IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: true},
			IpAddressType:        types.IpAddressTypeIpv4,
		},
	}
}

// checkRole refuses secrets without the instance role that App Runner reads them
// with. Slipway has no use for the role, but a specification that it accepts must
// be valid on App Runner too. The message is App Runner's
// (terraform-aws-app-runner, pull request 5).
func checkRole(spec slipway.Spec) error {
	if len(runtimeSecrets(spec.Source)) == 0 || aws.ToString(spec.Instance.InstanceRoleArn) != "" {
		return nil
	}
	return slipway.Errorf(slipway.InvalidRequest, "Instance Role have to be provided if passing in RuntimeEnvironmentSecrets.")
}

// checkBuildRole is checkRole for the secrets of builds, which are settings. A
// deployment checks them again, since tags change at any time.
func checkBuildRole(spec slipway.Spec, tags []slipway.Tag) error {
	s, err := slipway.ParseSettings("service", tags)
	if err != nil {
		return err
	}
	return s.Build.CheckRole(spec)
}

// runtimeSecrets returns the references to secrets that a source configuration has.
// Those in a repository's apprunner.yaml are known when it is deployed.
func runtimeSecrets(s types.SourceConfiguration) map[string]string {
	if r := s.ImageRepository; r != nil && r.ImageConfiguration != nil {
		return r.ImageConfiguration.RuntimeEnvironmentSecrets
	}
	if r := s.CodeRepository; r != nil && r.CodeConfiguration != nil && r.CodeConfiguration.CodeConfigurationValues != nil {
		return r.CodeConfiguration.CodeConfigurationValues.RuntimeEnvironmentSecrets
	}
	return nil
}

// apply returns the specification with the change made, or an error that says
// what is wrong with the result.
func (a *API) apply(tx *store.Tx, spec slipway.Spec, c change) (slipway.Spec, error) {
	var err error
	if spec.Source, err = a.applySource(tx, spec.Source, c); err != nil {
		return spec, err
	}
	if spec.Instance, err = applyInstance(spec.Instance, c.instance); err != nil {
		return spec, err
	}
	if spec.HealthCheck, err = applyHealthCheck(spec.HealthCheck, c.healthCheck); err != nil {
		return spec, err
	}
	if spec.Network, err = applyNetwork(spec.Network, c.network); err != nil {
		return spec, err
	}
	if err := checkRole(spec); err != nil {
		return spec, err
	}
	spec.Observability, err = a.applyObservability(tx, spec.Observability, c.observability)
	return spec, err
}

func applyHealthCheck(h types.HealthCheckConfiguration, in *types.HealthCheckConfiguration) (types.HealthCheckConfiguration, error) {
	if in == nil {
		return h, nil
	}
	if in.Protocol != "" {
		h.Protocol = in.Protocol
	}
	if in.Path != nil {
		h.Path = in.Path
	}
	for _, n := range []struct{ to, from **int32 }{
		{&h.Interval, &in.Interval},
		{&h.Timeout, &in.Timeout},
		{&h.HealthyThreshold, &in.HealthyThreshold},
		{&h.UnhealthyThreshold, &in.UnhealthyThreshold},
	} {
		if *n.from != nil {
			*n.to = *n.from
		}
	}
	// The path is part of a request line: no line breaks or blanks, and absolute.
	if p := aws.ToString(h.Path); !strings.HasPrefix(p, "/") || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return h, slipway.Errorf(slipway.InvalidRequest,
			"HealthCheckConfiguration: Path %q must begin with / and have no blanks or control characters.", p)
	}
	return h, nil
}

// applyNetwork treats an IngressConfiguration without IsPubliclyAccessible as
// private: Go's SDK omits the member if it is false. checkEgress checks that the
// connector exists.
func applyNetwork(n types.NetworkConfiguration, in *types.NetworkConfiguration) (types.NetworkConfiguration, error) {
	if in == nil {
		return n, nil
	}
	if in.IngressConfiguration != nil {
		n.IngressConfiguration = in.IngressConfiguration
	}
	if in.IpAddressType != "" {
		n.IpAddressType = in.IpAddressType
	}
	e := in.EgressConfiguration
	if e == nil {
		return n, nil
	}
	connector := aws.ToString(e.VpcConnectorArn)
	switch {
	case e.EgressType == types.EgressTypeVpc && connector == "":
		return n, slipway.Errorf(slipway.InvalidRequest, "NetworkConfiguration: EgressType VPC requires a VpcConnectorArn.")
	case connector != "" && e.EgressType != types.EgressTypeVpc:
		return n, slipway.Errorf(slipway.InvalidRequest, "NetworkConfiguration: a VpcConnectorArn requires EgressType VPC.")
	case connector != "":
		n.EgressConfiguration = &types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: &connector}
	default:
		n.EgressConfiguration = &types.EgressConfiguration{EgressType: types.EgressTypeDefault}
	}
	return n, nil
}
