package compat

// operations says of each operation what it does here.
var operations = map[string]string{
	"CreateService":   "Checks the request, writes the service and its CREATE_SERVICE operation and returns; the service is then made in the background. A failed creation leaves it CREATE_FAILED, with its name taken.",
	"DescribeService": "Shows a service in any state, with the new values while an update is under way; for an hour also one that is DELETED.",
	"ListServices":    "Lists the services that are not deleted, oldest first.",
	"UpdateService":   "Changes what is given, member by member, and deploys it beside the running version, which serves until the new one is healthy; a failed update leaves it serving. Allowed when RUNNING or CREATE_FAILED.",
	"DeleteService":   "Answers the requests in flight, stops the instances and deletes the service. Refused while it has VPC ingress connections or another operation is under way.",
	"PauseService":    "Answers the requests in flight and stops every instance. A paused service answers 503. Pausing a paused one succeeds, without an operation.",
	"ResumeService":   "Starts the active release again, from MinSize instances. Resuming a running service succeeds, without an operation.",
	"StartDeployment": "Resolves the image's tag anew and deploys it with the same configuration.",
	"ListOperations":  "Lists a service's operations, newest first; a deleted service's too, for an hour.",

	"CreateAutoScalingConfiguration":          "Adds a revision, numbered one above the highest active one of its name.",
	"DescribeAutoScalingConfiguration":        "Shows a revision; a deleted one for an hour.",
	"ListAutoScalingConfigurations":           "Lists active revisions by name and number.",
	"DeleteAutoScalingConfiguration":          "Deletes a revision, or all of a name, unless it is the default or a service uses it.",
	"UpdateDefaultAutoScalingConfiguration":   "Makes a revision the one that new services get; those that exist keep theirs.",
	"ListServicesForAutoScalingConfiguration": "Lists the services whose specification, present or being deployed, names the revision.",

	"CreateConnection": "Adds a connection, PENDING_HANDSHAKE until `slipway connection complete` has given it a token.",
	"ListConnections":  "Lists connections by name.",
	"DeleteConnection": "Deletes a connection with its token, unless a service uses it.",

	"CreateObservabilityConfiguration":   "Adds a revision, numbered as those of auto scaling configurations are. The name DefaultConfiguration is reserved.",
	"DescribeObservabilityConfiguration": "Shows a revision; a deleted one for an hour.",
	"ListObservabilityConfigurations":    "Lists active revisions by name and number.",
	"DeleteObservabilityConfiguration":   "Deletes a revision, unless it is the provided one or a service uses it.",

	"CreateVpcConnector":   "Adds a connector. Its subnets stand for networks of the server's configuration (`--network`, see [vpc.md](vpc.md)).",
	"DescribeVpcConnector": "Shows a connector; a deleted one for an hour.",
	"ListVpcConnectors":    "Lists active connectors, oldest first.",
	"DeleteVpcConnector":   "Deletes a connector, unless a service uses it.",

	"CreateVpcIngressConnection":   "Opens a private service to the listener that stands for the VPC endpoint in the server's configuration; AVAILABLE once the router serves it.",
	"DescribeVpcIngressConnection": "Shows a connection; a deleted one for an hour.",
	"ListVpcIngressConnections":    "Lists connections that are not deleted, oldest first.",
	"UpdateVpcIngressConnection":   "Moves a connection to another VPC endpoint.",
	"DeleteVpcIngressConnection":   "Closes a connection.",

	"AssociateCustomDomain":    "Asks for a domain, which is served once its validation records are found in DNS.",
	"DescribeCustomDomains":    "Lists a service's domains with the records to make in DNS.",
	"DisassociateCustomDomain": "Stops serving a domain and forgets it.",

	"TagResource":         "Adds tags or overwrites their values, on all six types of resource.",
	"UntagResource":       "Removes tags; keys that are not there are ignored.",
	"ListTagsForResource": "Lists a resource's tags in the order in which they were first set.",
}
