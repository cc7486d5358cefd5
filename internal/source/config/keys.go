package config

import (
	"slices"
	"strings"
)

// allowed are the keys of each mapping by the path of the mapping.
var allowed = map[string][]string{
	"":               {"version", "runtime", "build", "run"},
	"build":          {"commands", "env"},
	"build.commands": {"pre-build", "build", "post-build"},
	"run":            {"runtime-version", "pre-run", "command", "network", "env", "secrets"},
	"run.network":    {"port", "env"},
}

// homes are the places of keys that people write elsewhere or differently, by the key
// without separators and in lower case.
var homes = map[string]string{
	"version": "version", "runtime": "runtime", "build": "build", "run": "run",
	"commands": "build.commands",
	"prebuild": "build.commands.pre-build", "postbuild": "build.commands.post-build",
	"buildcommand": "build.commands.build", "buildcommands": "build.commands.build",
	"install": "build.commands.pre-build", "installcommand": "build.commands.pre-build",
	"runtimeversion": "run.runtime-version", "prerun": "run.pre-run",
	"command": "run.command", "startcommand": "run.command", "start": "run.command",
	"startcmd": "run.command", "cmd": "run.command", "entrypoint": "run.command", "runcommand": "run.command",
	"network": "run.network", "networking": "run.network", "port": "run.network.port", "containerport": "run.network.port",
	"secrets": "run.secrets", "secret": "run.secrets",
	"runtimeenvironmentsecrets": "run.secrets", "environmentsecrets": "run.secrets",
	"runtimeenvironmentvariables": "run.env", "environmentvariables": "run.env",
}

// envWords are other names of env.
var envWords = []string{"env", "envs", "environment", "envvars", "environmentvariables", "environmentvars", "variables", "vars", "envvariables", "runtimeenvironmentvariables"}

// plain returns a key in lower case without separators.
func plain(key string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "", ".", "").Replace(key))
}

// home returns the path at which a key of the mapping at path is meant to be; "" when
// that isn't clear.
func home(path, key string) string {
	p := plain(key)
	for _, known := range allowed[path] {
		if p == plain(known) {
			return join(path, known)
		}
	}
	for _, w := range envWords {
		if p != w || strings.HasPrefix(w, "runtime") && path == "" {
			continue
		}
		switch path {
		case "build", "build.commands":
			return "build.env"
		case "run":
			return "run.env"
		}
		return "" // of the build or of the application?
	}
	if path == "run" && p == "commands" {
		return "run.command"
	}
	if path == "build" && p == "build" {
		return "build.commands.build"
	}
	if h, ok := homes[p]; ok {
		return h
	}
	if near := nearest(key, allowed[path]); near != "" {
		return join(path, near)
	}
	return ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// knownKey reports whether a word is a key of the grammar.
func knownKey(word string) bool {
	for _, keys := range allowed {
		if slices.Contains(keys, word) {
			return true
		}
	}
	return false
}

// split is the reverse of join: "run.network.port" is "port" in "run.network".
func split(path string) (parent, key string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// serviceSettings are keys for what App Runner's file does not hold, by the key
// without separators, with the place where each is set.
var serviceSettings = func() map[string]string {
	m := map[string]string{}
	for _, s := range []struct{ keys, place string }{
		{"cpu memory ram instance instanceconfiguration resources instancesize instancetype", "CPU and memory are set on the service: InstanceConfiguration, `slipway up --cpu 1 --memory 2`"},
		{"healthcheck healthchecks health healthcheckpath healthcheckconfiguration healthpath", "health checks are set on the service: HealthCheckConfiguration, `slipway up --health-path /health`"},
		{"autoscaling scaling scale autoscalingconfiguration autoscalingconfigurationarn minsize maxsize mininstances maxinstances maxconcurrency concurrency instances replicas", "scaling is set on the service: AutoScalingConfigurationArn, `slipway up --min 1 --max 4 --concurrency 100`"},
		{"vpc vpcconnector vpcconnectorarn subnets securitygroups egress egressconfiguration ingress ingressconfiguration networkconfiguration", "the network is set on the service: NetworkConfiguration with the ARN of a VPC connector"},
		{"instancerole instancerolearn role rolearn iamrole taskrole executionrole permissions iam", "the instance role is set on the service: InstanceConfiguration.InstanceRoleArn"},
		{"accessrole accessrolearn authentication authenticationconfiguration connection connectionarn", "access to the source is set on the service: SourceConfiguration.AuthenticationConfiguration, `slipway connection`"},
		{"name service servicename app appname", "the service's name is set on the service: ServiceName, `slipway up --name NAME`"},
		{"tags tag labels", "tags are set on the service: `Tags` of CreateService"},
		{"observability tracing xray observabilityconfiguration logs logging", "traces are set on the service: ObservabilityConfiguration"},
		{"kms kmskey encryption encryptionconfiguration", "encryption is set on the service: EncryptionConfiguration"},
		{"autodeployments autodeploymentsenabled autodeploy deployment deploy trigger", "automatic deployments are set on the service: SourceConfiguration.AutoDeploymentsEnabled"},
		{"source sourceconfiguration repository repositoryurl coderepository branch sourcecodeversion sourcedirectory workdir workingdirectory workingdir directory root", "the source is set on the service: SourceConfiguration.CodeRepository with its branch and SourceDirectory"},
		{"protocol appprotocol https tls ssl", "App Runner reaches every application by HTTP on its port and ends TLS itself, so there is nothing to set"},
		{"region awsregion account", "the region is the server's: `slipway --region`"},
		{"domain domains customdomain customdomains", "custom domains are set on the service: `slipway domain`"},
		{"image imagerepository imageidentifier imageconfiguration ecr", "an image is deployed without this file: SourceConfiguration.ImageRepository, `slipway up IMAGE`"},
		{"docker dockerfile dockerfilepath dockercommands dockerbuild dockerimage dockercontext buildargs context container", "App Runner builds no Dockerfile; with Slipway `runtime: docker` does, from the repository's Dockerfile"},
	} {
		for key := range strings.FieldsSeq(s.keys) {
			m[key] = s.place
		}
	}
	return m
}()

// nearest returns the candidate that a word is a misspelling of; "" for none.
func nearest(word string, candidates []string) string {
	word = strings.ToLower(word)
	best, bestDistance := "", 0
	for _, c := range candidates {
		limit := 1
		if len(c) > 5 {
			limit = 2
		}
		if d := distance(word, c); d <= limit && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of characters to insert, remove, replace or swap with their
// neighbour to make b of a. It compares only the first 64 bytes.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
