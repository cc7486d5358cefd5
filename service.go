package slipway

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// Service is what a user creates: a name, a specification and a URL. Spec and
// Wanted are its desired state; the instances of its releases are what runs.
type Service struct {
	ID    string // 32 hexadecimal digits
	Name  string
	ARN   string
	Label string // first label of its host name, see NewLabel

	Spec   Spec
	Wanted Wanted
	Status Status // the status when no operation is live

	ActiveRelease string // id of the release that serves requests; "" before the first

	// RouteVersion rises, over all services, with each change that routers need to
	// know, and with each of a release; see internal/store.
	RouteVersion int64

	CreatedAt, UpdatedAt time.Time
	DeletedAt            time.Time // zero while not deleted
}

// ServiceView is a service with its live operation, both read in one transaction.
type ServiceView struct {
	Service
	Live *Operation // nil while no operation is live
}

// VisibleStatus returns the status that users see: OPERATION_IN_PROGRESS while an
// operation is live, otherwise the resting status.
func (v ServiceView) VisibleStatus() Status {
	if v.Live != nil {
		return StatusOperationInProgress
	}
	return v.Status
}

// VisibleSpec returns the specification that users see: the new one while an
// update is live, as App Runner's UpdateService returns the new values.
func (v ServiceView) VisibleSpec() Spec {
	if v.Live != nil && v.Live.Input.Spec != nil {
		return *v.Live.Input.Spec
	}
	return v.Spec
}

// Spec is the configuration of a service, complete with defaults, in App
// Runner's own shapes.
type Spec struct {
	Source        types.SourceConfiguration
	Instance      types.InstanceConfiguration
	HealthCheck   types.HealthCheckConfiguration
	Network       types.NetworkConfiguration
	Observability *types.ServiceObservabilityConfiguration
	Encryption    *types.EncryptionConfiguration

	AutoScalingConfigurationARN string // full, with revision and id

	// SourceSetBy is the id of the user who last set Source, "" for root and for what
	// earlier versions stored. Deployments use what this user may use: what a repository
	// or a followed tag names later is known only then.
	SourceSetBy string `json:",omitempty"`
}

// References returns the ARNs of the resources that the specification names, and the
// URL of its upload. They cannot be deleted while a service has this specification.
func (s Spec) References() []string {
	var list []string
	add := func(arn *string) {
		if arn != nil && *arn != "" {
			list = append(list, *arn)
		}
	}
	add(&s.AutoScalingConfigurationARN)
	if a := s.Source.AuthenticationConfiguration; a != nil {
		add(a.ConnectionArn)
	}
	if c := s.Source.CodeRepository; c != nil && c.RepositoryUrl != nil && IsUploadURL(*c.RepositoryUrl) {
		add(c.RepositoryUrl)
	}
	if e := s.Network.EgressConfiguration; e != nil {
		add(e.VpcConnectorArn)
	}
	if o := s.Observability; o != nil {
		add(o.ObservabilityConfigurationArn)
	}
	return list
}

// Wanted is the state a service is to be brought to.
type Wanted string

const (
	WantedRunning Wanted = "running"
	WantedPaused  Wanted = "paused"
	WantedDeleted Wanted = "deleted"
)

// Status is a service's status as App Runner names it.
type Status string

const (
	StatusRunning             Status = "RUNNING"
	StatusPaused              Status = "PAUSED"
	StatusCreateFailed        Status = "CREATE_FAILED"
	StatusDeleteFailed        Status = "DELETE_FAILED"
	StatusDeleted             Status = "DELETED"
	StatusOperationInProgress Status = "OPERATION_IN_PROGRESS" // never stored: a live operation implies it
)
