package slipway

import "time"

// VPCConnector says by which subnets the instances of services reach a VPC.
// What a subnet is here, the server's configuration tells: see Egress. The API
// alone writes it.
type VPCConnector struct {
	ARN            string
	Name           string
	Subnets        []string // ids, at least one
	SecurityGroups []string // ids, at least one; kept and shown, they limit nothing

	CreatedAt time.Time
	DeletedAt time.Time // zero while it is active
}

// VPCConnectorARN is the ARN of the connector by which the instances of the
// specification reach out; "" for the way that all instances have.
func (s Spec) VPCConnectorARN() string {
	if e := s.Network.EgressConfiguration; e != nil && e.VpcConnectorArn != nil {
		return *e.VpcConnectorArn
	}
	return ""
}

// Public reports whether the service of the specification is reached from
// everywhere, and not by VPC ingress connections alone.
func (s Spec) Public() bool {
	i := s.Network.IngressConfiguration
	return i == nil || i.IsPubliclyAccessible
}

// VPCIngressConnection lets a private service be reached by way of a VPC
// endpoint. What should be is written by the API, what is by the loop that
// opens endpoints.
type VPCIngressConnection struct {
	ARN       string
	Name      string
	ServiceID string
	Label     string // first label of its domain name, see NewLabel
	CreatedAt time.Time

	// What should be.
	VPC       string    // id
	Endpoint  string    // id
	Version   int       // 1 when it is created, one more with each update
	RemovedAt time.Time // when its deletion was asked for; zero before

	// What is.
	Seen      int       // the version that Failure is about; 0 at first
	Failure   string    // why Endpoint does not serve it, for people; "" when it does
	Serving   string    // id of the endpoint that serves it; "" for none
	Available bool      // it has been served at some time
	DeletedAt time.Time // zero while anything of it is left
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

// Status tells where the connection is between what should be and what is.
// Deleting one can't fail.
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
