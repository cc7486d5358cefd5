package slipway

import "time"

// VPCConnector names the subnets that the instances of services reach. The server's
// --network flags say what each subnet is. Only the API writes it.
type VPCConnector struct {
	ARN            string
	Name           string
	Subnets        []string // ids, at least one
	SecurityGroups []string // ids, at least one; stored and shown, but without effect

	CreatedAt time.Time
	DeletedAt time.Time // zero while active
}

// VPCConnectorARN returns the ARN of the VPC connector that the specification's
// instances use for outgoing connections; "" for the default egress.
func (s Spec) VPCConnectorARN() string {
	if e := s.Network.EgressConfiguration; e != nil && e.VpcConnectorArn != nil {
		return *e.VpcConnectorArn
	}
	return ""
}

// Public reports whether the service is reachable from everywhere, and not only
// through VPC ingress connections.
func (s Spec) Public() bool {
	i := s.Network.IngressConfiguration
	return i == nil || i.IsPubliclyAccessible
}

// VPCIngressConnection makes a private service reachable at a VPC endpoint. The API
// writes the desired state, internal/ingress the observed state.
type VPCIngressConnection struct {
	ARN       string
	Name      string
	ServiceID string
	Label     string // first label of its domain name, see NewLabel
	CreatedAt time.Time

	// Desired state.
	VPC       string    // id
	Endpoint  string    // id
	Version   int       // 1 at its creation, one more with each update
	RemovedAt time.Time // when its deletion was requested; zero before

	// Observed state.
	Seen      int       // the version that Failure refers to; 0 at first
	Failure   string    // why Endpoint does not serve it, for people; "" if it does
	Serving   string    // id of the endpoint that serves it; "" if none does
	Available bool      // it was served at some time
	DeletedAt time.Time // when its deletion was completed; zero before
}

// IngressStatus is a VPC ingress connection's status as App Runner names it.
type IngressStatus string

const (
	IngressPendingCreation IngressStatus = "PENDING_CREATION"
	IngressPendingUpdate   IngressStatus = "PENDING_UPDATE"
	IngressPendingDeletion IngressStatus = "PENDING_DELETION"
	IngressAvailable       IngressStatus = "AVAILABLE"
	IngressFailedCreation  IngressStatus = "FAILED_CREATION"
	IngressFailedUpdate    IngressStatus = "FAILED_UPDATE"
	IngressDeleted         IngressStatus = "DELETED"
)

// Status returns the status that follows from desired and observed state. A deletion
// cannot fail.
func (c VPCIngressConnection) Status() IngressStatus {
	switch {
	case !c.DeletedAt.IsZero():
		return IngressDeleted
	case !c.RemovedAt.IsZero():
		return IngressPendingDeletion
	case c.Seen < c.Version && c.Version == 1:
		return IngressPendingCreation
	case c.Seen < c.Version:
		return IngressPendingUpdate
	case c.Failure == "":
		return IngressAvailable
	case c.Available || c.Version > 1:
		return IngressFailedUpdate
	}
	return IngressFailedCreation
}
