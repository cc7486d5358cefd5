package api

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

// service shows a service as App Runner does: while an operation is live its
// status is OPERATION_IN_PROGRESS and an update's new values are shown.
func (a *API) service(v slipway.ServiceView) *types.Service {
	spec := v.VisibleSpec()
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

// updatedAt is when the service changed last. Asking for an operation changes
// the status that is shown, not the row.
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

// summaryOf names the configuration that a service uses, as its ARN does.
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

// host is the name under which a service is reached.
func (a *API) host(v slipway.ServiceView) string { return a.hostOf(v.Label) }

// hostOf is the host name that a label begins.
func (a *API) hostOf(label string) string { return label + "." + a.cfg.Region + "." + a.cfg.Domain }

// url is a public service's host, with a port where it is not a scheme's own. A
// private service has none.
func (a *API) url(v slipway.ServiceView) *string {
	if !v.VisibleSpec().Public() {
		return nil
	}
	return aws.String(withPort(a.host(v), a.cfg.URLPort))
}

// withPort is a host with its port where that has to be said.
func withPort(host string, port int) string {
	switch port {
	case 0, 80, 443:
		return host
	}
	return host + ":" + strconv.Itoa(port)
}
