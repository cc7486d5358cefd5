package api

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

// service returns a service as App Runner shows it: during an operation its
// status is OPERATION_IN_PROGRESS and it has an update's new values.
func (a *API) service(v slipway.ServiceView) *types.Service {
	spec := v.VisibleSpec()
	if !spec.Public() { // services made private by earlier versions kept DUAL_STACK
		spec.Network.IpAddressType = types.IpAddressTypeIpv4
	}
	s := &types.Service{
		ServiceName:                     &v.Name,
		ServiceId:                       &v.ID,
		ServiceArn:                      &v.ARN,
		ServiceUrl:                      a.url(v),
		Status:                          types.ServiceStatus(v.VisibleStatus()),
		CreatedAt:                       &v.CreatedAt,
		UpdatedAt:                       updatedAt(v),
		SourceConfiguration:             &spec.Source,
		InstanceConfiguration:           &spec.Instance,
		HealthCheckConfiguration:        &spec.HealthCheck,
		NetworkConfiguration:            &spec.Network,
		ObservabilityConfiguration:      spec.Observability,
		EncryptionConfiguration:         spec.Encryption,
		AutoScalingConfigurationSummary: summaryOf(spec.AutoScalingConfigurationARN),
	}
	if !v.DeletedAt.IsZero() {
		s.DeletedAt = &v.DeletedAt
	}
	return s
}

// updatedAt returns when the service changed last. A new operation changes the
// visible status, not the row.
func updatedAt(v slipway.ServiceView) *time.Time {
	if v.Live != nil && v.Live.CreatedAt.After(v.UpdatedAt) {
		return &v.Live.CreatedAt
	}
	return &v.UpdatedAt
}

func (a *API) serviceSummary(v slipway.ServiceView) types.ServiceSummary {
	return types.ServiceSummary{
		ServiceName: &v.Name,
		ServiceId:   &v.ID,
		ServiceArn:  &v.ARN,
		ServiceUrl:  a.url(v),
		CreatedAt:   &v.CreatedAt,
		UpdatedAt:   updatedAt(v),
		Status:      types.ServiceStatus(v.VisibleStatus()),
	}
}

// summaryOf describes the configuration that a service uses, by its ARN.
func summaryOf(arn string) *types.AutoScalingConfigurationSummary {
	s := &types.AutoScalingConfigurationSummary{AutoScalingConfigurationArn: &arn}
	if p, err := slipway.ParseARN(arn); err == nil && len(p.Parts) == 3 {
		s.AutoScalingConfigurationName = aws.String(p.Name())
		if n, err := strconv.ParseInt(p.Parts[1], 10, 32); err == nil {
			s.AutoScalingConfigurationRevision = int32(n)
		}
	}
	return s
}

// host returns the host name of a service.
func (a *API) host(v slipway.ServiceView) string { return a.hostOf(v.Label) }

// hostOf returns the host name that begins with a label.
func (a *API) hostOf(label string) string { return label + "." + a.cfg.Region + "." + a.cfg.Domain }

// url returns the host of a public service, with the port if it is not a scheme's
// default. A private service has no URL.
func (a *API) url(v slipway.ServiceView) *string {
	if !v.VisibleSpec().Public() {
		return nil
	}
	return aws.String(withPort(a.host(v), a.cfg.URLPort))
}

// withPort returns a host, with the port unless it is a scheme's default.
func withPort(host string, port int) string {
	switch port {
	case 0, 80, 443:
		return host
	}
	return host + ":" + strconv.Itoa(port)
}
