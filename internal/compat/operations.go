package compat

// operations says of each operation what it does here.
var operations = map[string]string{
	"CreateService":   "Validates the request, stores the service and its CREATE_SERVICE operation and returns; the operation runs in the background. A failed creation leaves the service CREATE_FAILED, with its name taken.",
	"DescribeService": "Returns a service in any state, with the new values during an update; a DELETED service for an hour.",
	"ListServices":    "Lists the services that are not deleted, oldest first.",
	"UpdateService":   "Changes the members given and deploys a new release beside the active one, which serves until the new one is healthy. After a failed update the active release keeps serving. Allowed when RUNNING or CREATE_FAILED. A RUNNING service is not updated by a call that names nothing to change (empty structures name nothing); values that it has already are deployed anew.",
	"DeleteService":   "Answers the requests in flight, stops the instances and deletes the service. Refused with InvalidStateException while it has VPC ingress connections, which the message names with their status, or another operation is in progress. Its custom domains are free when it is DELETED.",
	"PauseService":    "Answers the requests in flight and stops every instance, or freezes them with the setting slipway:pause-keeps. A paused service answers 503. Pausing a paused service succeeds without an operation.",
	"ResumeService":   "Starts the active release again, from MinSize instances, or thaws those that the pause has kept. With AutoDeploymentsEnabled, what was pushed during the pause is deployed afterwards. Resuming a running service succeeds without an operation.",
	"StartDeployment": "Resolves the image's tag again and deploys it with the same configuration.",
	"ListOperations":  "Lists a service's operations, newest first; a deleted service's for an hour.",

	"CreateAutoScalingConfiguration":          "Adds a revision, numbered one above the highest active one of its name.",
	"DescribeAutoScalingConfiguration":        "Returns a revision; a deleted one for an hour.",
	"ListAutoScalingConfigurations":           "Lists active revisions by name and number.",
	"DeleteAutoScalingConfiguration":          "Deletes a revision, or all of a name, unless it is the default or a service uses it.",
	"UpdateDefaultAutoScalingConfiguration":   "Makes a revision the default for new services; existing services keep theirs.",
	"ListServicesForAutoScalingConfiguration": "Lists the services whose specification, current or being deployed, names the revision.",

	"CreateConnection": "Creates a connection, PENDING_HANDSHAKE until `slipway connection complete` gives it a token.",
	"ListConnections":  "Lists connections by name.",
	"DeleteConnection": "Deletes a connection with its token, unless a service uses it.",

	"CreateObservabilityConfiguration":   "Adds a revision, numbered like those of auto scaling configurations. The name DefaultConfiguration is reserved.",
	"DescribeObservabilityConfiguration": "Returns a revision; a deleted one for an hour.",
	"ListObservabilityConfigurations":    "Lists active revisions by name and number.",
	"DeleteObservabilityConfiguration":   "Deletes a revision, unless it is the default or a service uses it.",

	"CreateVpcConnector":   "Creates a connector. Its subnets stand for networks of the server's configuration (`--network`, see [vpc.md](vpc.md)).",
	"DescribeVpcConnector": "Returns a connector; a deleted one for an hour.",
	"ListVpcConnectors":    "Lists active connectors, oldest first.",
	"DeleteVpcConnector":   "Deletes a connector, unless a service uses it.",

	"CreateVpcIngressConnection":   "Opens a private service to the listener that stands for the VPC endpoint in the server's configuration; AVAILABLE once the router serves it.",
	"DescribeVpcIngressConnection": "Returns a connection; a deleted one for an hour.",
	"ListVpcIngressConnections":    "Lists connections that are not deleted, oldest first.",
	"UpdateVpcIngressConnection":   "Moves a connection to another VPC endpoint.",
	"DeleteVpcIngressConnection":   "Deletes a connection; the service no longer answers at its endpoint.",

	"AssociateCustomDomain":    "Associates a domain, which is served once its validation records are found in DNS.",
	"DescribeCustomDomains":    "Lists a service's domains with the records to create in DNS.",
	"DisassociateCustomDomain": "Stops serving a domain and removes it.",

	"TagResource":         "Adds tags or overwrites their values, on all six resource types.",
	"UntagResource":       "Removes tags; missing keys are ignored.",
	"ListTagsForResource": "Lists a resource's tags in the order in which they were first set.",
}
