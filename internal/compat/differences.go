package compat

// differences are all deliberate ones, by topic.
var differences = []Difference{
	{
		"Image references", "Images come only from ECR and ECR Public.",
		"`ImageIdentifier` is any container image reference. A reference of ECR's form means the server's own registry. Any other is pulled from the registry that it names, with the credentials of Docker's configuration file. A name without a registry is completed at the call: to the own registry's image, or, if that has no such repository, no service bears the name and the server runs with `--docker-hub`, to Docker Hub's; otherwise it is refused.",
		"The server has no ECR beside it, and images are in many registries.",
	},
	{
		"Roles", "Roles are assumed when a service is made, and the call is refused if a role is unusable.",
		"`AccessRoleArn` and `InstanceRoleArn` are validated, stored and returned. No role is assumed, and instances get no credentials. Users' policies decide which secrets and images of this server's registry a service gets: those of the caller, and at a deployment those of the user who last set the source.",
		"There is no STS with which to assume an account's roles.",
	},
	{
		"Rules about roles and accounts", "An ECR image needs an `AccessRoleArn`, and `AutoDeploymentsEnabled` can't be true for images of ECR Public or of another account. A failed creation can't change its `ConfigurationSource` from REPOSITORY to API.",
		"None of them is enforced: `AccessRoleArn` may be left out, every image may be followed, and the configuration of a failed creation may come from anywhere.",
		"No role is needed to read the server's own registry, and its clients, `slipway up` among them, would have to invent one. Any registry can be asked for a tag's digest.",
	},
	{
		"Secrets of other accounts", "Secrets of another account are read if its policies allow it; parameters of another account are not.",
		"A reference to another account or region is refused by the call, unless the server reads such values from AWS (`--aws-secrets`).",
		"The server keeps the secrets of one account in one region; a deployment that must fail should not begin.",
	},
	{
		"Encryption keys", "The service's data is encrypted with the given KMS key.",
		"`KmsKey` is validated, stored and returned.",
		"There is no KMS; encrypt the disk below the data directory.",
	},
	{
		"Source code", "Services are built from GitHub and Bitbucket repositories, found by webhooks.",
		"Repositories of any git server are built, by https or ssh. Only GitHub and Bitbucket require a connection, and a connection's credential goes only to its provider or host. New commits are found by asking the repository, or announced by a webhook. A repository that moves to another host loses its connection.",
		"The server is not reachable for webhooks everywhere, and code is in many places.",
	},
	{
		"Start command of code", "It is split at blanks; no shell runs it.",
		"`/bin/sh -c` runs it, and becomes the program where the command is just one. A static program that detection deploys without its runtime is started without a shell.",
		"What worked still works, and so do `a && b`, quotes and `$PORT` (apprunner-roadmap 180).",
	},
	{
		"Runtimes", "Runtimes are Amazon Linux with the language; those past their end of support are refused for new services.",
		"Runtimes are their publishers' images, or Debian with the language's packages. The build's log says where a runtime differs. Further names (such as python312, nodejs24) work in apprunner.yaml; `Runtime` of the API has App Runner's names.",
		"App Runner's images are not public. The API's clients know only its names.",
	},
	{
		"Built images", "They are not visible.",
		"Labels of the image name the commit, its time and repository, the runtime with its version, and the builder (`org.opencontainers.image.revision`, `.created`, `.source`, `.base.digest`, `io.slipway.*`). `slipway sbom`, or the call `Slipway.DescribeSBOM`, prints the packages in the image as a CycloneDX document.",
		"Who runs an image wants to know what is in it and where it comes from.",
	},
	{
		"Connections", "The handshake takes place in the AWS console.",
		"`slipway connection complete`, or the call `Slipway.CompleteConnection`, gives the connection a token, which the provider must accept. Beyond GITHUB and BITBUCKET there are GITLAB, GITEA and GIT, and deploy keys for ssh: `slipway connection create`, or the call `Slipway.CreateCodeConnection`.",
		"There is no AWS console in which to install the provider's app.",
	},
	{
		"Pushes", "The provider's app tells App Runner of a push.",
		"The server asks the repository once a minute. A webhook of the connection (`slipway connection webhook`, `Slipway.PutConnectionWebhook`) tells of pushes at once.",
		"There is no app of ours at the providers.",
	},
	{
		"Cancelling", "An operation can't be cancelled.",
		"`slipway ops cancel`, or the call `Slipway.CancelOperation`, rolls an operation back: a creation ends as FAILED and the service as CREATE_FAILED, an update or deployment as ROLLBACK_SUCCEEDED, a resume and a pause as FAILED with the service as before. Once the new version serves, a deployment is no longer cancelled; a deletion never is. `Slipway.DescribeOperations` says who cancelled an operation.",
		"App Runner's users asked for it (apprunner-roadmap 49). No tag cancels an operation: tags are desired state, which a client such as Terraform would set again.",
	},
	{
		"Rights in an instance", "A container runs as in Docker, in a virtual machine of its own.",
		"Root of an instance is root of a user namespace, never of the host, with Docker's default capabilities; setuid programs, file capabilities, raw sockets and 32-bit programs work. Not so: packet sockets (`tcpdump`, `arping`) and `ptrace` answer with EPERM, also to root; device files can't be made, and those of an image are left out. See [images.md](images.md).",
		"Rings of packet sockets are memory of the host that no limit of the instance counts, and instances share the host's kernel. 32-bit x86 programs reach the refused address families by socketcall, whose arguments no filter sees, as with Docker; `ia32_emulation=off` on the kernel's command line closes that.",
	},
	{
		"Instances", "The API shows no instances, and no reason why an operation failed except in logs.",
		"The call `Slipway.DescribeInstances` tells of the instances of services: their state, age, processor time and memory, the release, how many have ended by themselves, how the last one did, and when the next starts if none is left. `Slipway.DescribeOperations` has the `Cause` of a failure. `slipway ls` and `slipway describe` show both. With `Traffic` the first also tells of requests, in flight, waiting and ended, with a histogram of their times, and which instances sleep: `slipway top`.",
		"Who runs the machine must see what runs on it.",
	},
	{
		"Requests", "They come from 169.254.172.1 and carry `X-Forwarded-For` and `X-Forwarded-Proto`.",
		"They come from the same address, or from fd9b:7a1d:53c8::1 if the application listens at ::1 only, and also carry `X-Forwarded-Host`, `X-Forwarded-Port` and `X-Request-Id`. What clients send in fields of other platforms, and in fields whose names have underscores, is removed. See [requests.md](requests.md).",
		"Applications must be able to tell requests of others from those of their own machine, and ask for the missing fields (apprunner-roadmap 52).",
	},
	{
		"Traces", "Instances have a trace collector that sends to X-Ray.",
		"Instances reach the collector that `--otlp-endpoint` names at the same address, http://localhost:4317. OpenTelemetry's variables are set for it unless the image or the user sets them. Without the flag no traces are collected.",
		"The owner decides where traces go.",
	},
	{
		"Events", "Status changes are events on EventBridge's bus, delivered at best effort.",
		"The same events are posted to webhooks (`slipway hooks`): signed, at least once, in order for each service. The first event of a new service has no `previousServiceStatus`. The fields of custom domain events are not documented; they are like those of service events. See [events.md](events.md).",
		"The server has no EventBridge beside it.",
	},
	{
		"ECR", "Images are pushed to existing repositories and stay until they are deleted.",
		"The server's registry accepts a push to any name and answers ECR's calls about it. Untagged images are removed after an hour unless a service runs them or one of its last ten releases did (`serve --keep-releases`). See [ecr.md](ecr.md).",
		"It is first of all a registry for one machine.",
	},
	{
		"Dual stack", "`DUAL_STACK` services answer by IPv6.",
		"`IpAddressType` is stored and returned; a private service's is IPV4, whatever is asked. The listeners' addresses (`--http-addr`) decide, and instances only have outgoing IPv4.",
		"One listener serves all services.",
	},
	{
		"Service URLs", "`https://<label>.<region>.awsapprunner.com`",
		"`http://<label>.<region>.<domain>`, with the port in `ServiceUrl` unless it is 80 or 443.",
		"The domain is yours; certificates are not implemented yet.",
	},
	{
		"Validation records", "Custom domains are validated for their certificates by ACM.",
		"The same form of CNAME records proves a domain; names below `localhost` and `--trusted-domain` need none. CAA records are ignored, and a domain stays served if its records are removed later.",
		"Ownership must be proved with or without a certificate; CAA records and renewal concern certificates.",
	},
	{
		"VPCs", "Subnets, security groups and endpoints are the account's.",
		"Subnets and VPC endpoints stand for networks and listeners in the server's configuration; security groups are stored and returned but limit nothing.",
		"A server has no VPCs.",
	},
	{
		"Quotas", "Adjusted by AWS on request; new accounts have lower quotas.",
		"The same numbers, as settings of the server (`--quota`, -1 for no limit).",
		"The operator chooses them.",
	},
	{
		"Names of configurations", "Lists without `LatestOnly` are documented as latest only, while Go's SDK can't send false.",
		"If it is absent, the latest revision of each name and the default auto scaling configuration are listed; false lists all.",
		"Terraform looks for the default in this list, whatever its revision.",
	},
	{
		"Order of lists", "Not defined.",
		"Services, connectors and ingress connections oldest first, configurations by name and revision, connections by name; stable while entries are added and removed.",
		"Clients that page must see each entry exactly once.",
	},
	{
		"Retention", "Deleted resources stay describable for some time.",
		"For an hour.",
		"Every client that waits for a deletion sees it.",
	},
	{
		"Logs", "Log groups belong to CloudWatch Logs and outlive their service.",
		"Only the calls that read them are answered. A deleted service's groups are not listed, but can be read by name for an hour.",
		"They are files of the server, removed with the service.",
	},
	{
		"Short ARNs", "Documented only for configurations.",
		"Services and connections are also found by ARNs that end with the name.",
		"An example of the API reference does so, and names are unique.",
	},
	{
		"Tag keys", "The model has no required member in a tag.",
		"A tag without a key is refused.",
		"A tag has a key.",
	},
	{
		"Settings", "Tags mean nothing to App Runner.",
		"Tags whose key begins with `slipway:` are settings; unknown ones are refused by name.",
		"App Runner's API has no members for them, and every client can set tags.",
	},
	{
		"Process 1", "The application is process 1 of its container.",
		"The same. As in a container of Docker, an application that does not handle its stop signal is killed 10 seconds after it, and orphans are its children. " +
			"The setting `slipway:init` has a small init forward signals and reap (docs/settings.md).",
		"Images are made for Docker.",
	},
	{
		"Updates while paused", "The sources disagree.",
		"They are refused with InvalidStateException.",
		"The error list and most reports say so.",
	},
	{
		"Paused services", "What a paused URL answers is not documented.",
		"503 with a page that says so, in JSON or HTML.",
		"A client can tell it from a service that does not exist (404).",
	},
}
