package api

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
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

// asks reports whether an update asks for anything: App Runner refuses one that names
// nothing but the service, in which empty structures say no more than absent ones.
// Values that the service already has do ask: a deployment takes the newest image.
func asks(in *apprunner.UpdateServiceInput) bool {
	for _, part := range []any{
		in.SourceConfiguration, in.InstanceConfiguration, in.AutoScalingConfigurationArn,
		in.HealthCheckConfiguration, in.NetworkConfiguration, in.ObservabilityConfiguration,
	} {
		if says(reflect.ValueOf(part)) {
			return true
		}
	}
	return false
}

// says reports whether a member of a call has a value. A structure has none if none of
// its members has one. A boolean that is not optional always has: Go's SDK leaves it out
// of the JSON if it is false, so that {} is a private ingress.
func says(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && (v.Elem().Kind() != reflect.Struct || says(v.Elem()))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && says(v.Field(i)) {
				return true
			}
		}
		return false
	case reflect.Bool:
		return true
	case reflect.Map, reflect.Slice:
		return !v.IsNil() // an empty map removes all entries
	}
	return !v.IsZero()
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

// checkReadable refuses references to secrets and parameters that no deployment could
// read: App Runner reads no parameter of another account, and this server none of
// another account or region unless it asks AWS for them.
func (a *API) checkReadable(references map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(references)) {
		r, err := slipway.ParseSecretReference(references[name])
		if err != nil || r.In(a.cfg.Region, a.cfg.Account) || a.cfg.SecretsOfAWS {
			continue // checkEnvironment refuses what is no reference
		}
		return slipway.Errorf(slipway.InvalidRequest,
			"RuntimeEnvironmentSecrets: the value of %.100q is in account %s, region %s (arn:%s), but this server reads those of account %s, region %s (arn:aws); with --aws-secrets it reads others from AWS.",
			name, r.Account, r.Region, r.Partition, a.cfg.Account, a.cfg.Region)
	}
	return nil
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
	if c.source != nil {
		spec.SourceSetBy = c.caller.ID()
		if err := a.checkReadable(runtimeSecrets(spec.Source)); err != nil {
			return spec, err
		}
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
// private: Go's SDK omits the member if it is false. A private service has addresses of
// IPv4 only, whatever it had before. checkEgress checks that the connector exists.
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
	if n.IngressConfiguration != nil && !n.IngressConfiguration.IsPubliclyAccessible {
		n.IpAddressType = types.IpAddressTypeIpv4
	}
	e := in.EgressConfiguration
	if e == nil || !says(reflect.ValueOf(e)) {
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
