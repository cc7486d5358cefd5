package compat

// differences are all deliberate ones, by topic.
var differences = []Difference{
	{
		"Image references", "Images come from ECR and ECR Public alone.",
		"`ImageIdentifier` is any reference of a container image. Of ECR's form, it means the server's own registry; every other is pulled from where it says, with the credentials of Docker's configuration file.",
		"There is no ECR beside the server, and images live in many registries.",
	},
	{
		"Roles", "Roles are assumed when a service is made, and an unusable one refuses the call.",
		"`AccessRoleArn` and `InstanceRoleArn` are checked for their form, kept and shown. Nothing is assumed, and instances get no credentials.",
		"There is no STS to assume roles of an account with.",
	},
	{
		"Encryption keys", "The service's data is encrypted with the KMS key that is named.",
		"`KmsKey` is checked for its form, kept and shown.",
		"There is no KMS; encrypt the disk below the data directory.",
	},
	{
		"Source code", "Services are built from GitHub and Bitbucket repositories.",
		"A `CodeRepository` is checked, its connection too, and then refused.",
		"Builds are not there yet.",
	},
	{
		"Connections", "The handshake takes place in the AWS console.",
		"`slipway connection complete`, or the call `Slipway.CompleteConnection`, gives the connection a token, which the provider is asked about.",
		"There is no console of AWS to install its app with.",
	},
	{
		"Traces", "Instances have a collector that sends to X-Ray.",
		"Instances have a collector at the same address, http://localhost:4317, which is the one that `--otlp-endpoint` names. OpenTelemetry's variables are set for it where neither the image nor the user sets them. Without the flag nothing is collected.",
		"Traces belong where their owner looks at them.",
	},
	{
		"Events", "Status changes are events on EventBridge's bus, delivered at best effort.",
		"The same events are posted to webhooks (`slipway hooks`): signed, at least once, in order for each service. A new service's first has no `previousServiceStatus`, and those of custom domains, whose fields are not documented, are like those of services. See [events.md](events.md).",
		"There is no EventBridge beside the server.",
	},
	{
		"ECR", "Images are pushed to repositories that were created, and stay until they are deleted.",
		"The server's registry takes a push to any name, and answers ECR's calls about it. Images without a tag go after an hour unless a service runs them. See [ecr.md](ecr.md).",
		"It is a registry for one machine first.",
	},
	{
		"Dual stack", "`DUAL_STACK` services answer by IPv6.",
		"`IpAddressType` is kept and shown. The listeners' addresses (`--http-addr`) decide, and instances reach out by IPv4 alone.",
		"One listener serves all services.",
	},
	{
		"Service URLs", "`https://<label>.<region>.awsapprunner.com`",
		"`http://<label>.<region>.<domain>`, with a port in `ServiceUrl` where that is neither 80 nor 443.",
		"The domain is yours; certificates are not there yet.",
	},
	{
		"Validation records", "Custom domains are validated for their certificates by ACM.",
		"The same form of CNAME records proves a domain; names below `localhost` and `--trusted-domain` need none. CAA records do not matter, and a domain whose records go later stays served.",
		"A domain is to be nobody else's, with or without a certificate; CAA records and renewal are about certificates.",
	},
	{
		"VPCs", "Subnets, security groups and endpoints are those of the account.",
		"Subnets and VPC endpoints stand for networks and listeners of the server's configuration; security groups are kept, shown and limit nothing.",
		"A server has no VPCs.",
	},
	{
		"Quotas", "Adjusted by AWS on request; new accounts have lower ones.",
		"The same numbers, settings of the server (`--quota`, -1 for none).",
		"They are the operator's to choose.",
	},
	{
		"Names of configurations", "Lists without `LatestOnly` are documented as latest only, while Go's SDK can't send false.",
		"Where it is absent, the latest of each name is listed, and the default auto scaling configuration; false lists all.",
		"Terraform looks for the default in this list, whatever its number.",
	},
	{
		"Order of lists", "Not defined.",
		"Services, connectors and ingress connections oldest first, configurations by name and revision, connections by name; stable while entries come and go.",
		"Clients that page must see each entry exactly once.",
	},
	{
		"Retention", "Deleted resources stay describable for some time.",
		"For an hour.",
		"Long enough for every client that waits for a deletion.",
	},
	{
		"Logs", "Log groups are CloudWatch Logs' and stay when their service is deleted.",
		"Only the calls that read them are answered. A deleted service's groups are not listed; by their names they can be read for an hour.",
		"They are the server's files, which are to go with the service.",
	},
	{
		"Short ARNs", "Documented for configurations alone.",
		"Services and connections are found by ARNs that end with the name, too.",
		"An example of the API reference does so, and names are unique.",
	},
	{
		"Tag keys", "The model has no required member in a tag.",
		"A tag without a key is refused.",
		"It would be none.",
	},
	{
		"Settings", "Tags mean nothing to App Runner.",
		"Tags whose key begins with `slipway:` are settings; unknown ones are refused by name.",
		"App Runner's API has no members for them, and every client can set tags.",
	},
	{
		"Updates while paused", "The sources disagree.",
		"Refused with InvalidStateException.",
		"The error list and most reports say so.",
	},
	{
		"Paused services", "What a paused URL answers is not documented.",
		"503 with a page that says so, in JSON or HTML.",
		"A client can tell it from a service that does not exist (404).",
	},
}
