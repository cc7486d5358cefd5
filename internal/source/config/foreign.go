package config

import (
	"encoding/json"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// lineForms recognise files of other kinds that are no mapping of YAML by the first
// line that is neither blank nor a comment.
var lineForms = []struct {
	form *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`(?i)^FROM\s+(?:--\S+\s+)*[a-z0-9$]\S*(\s+AS\s+\S+)?\s*$`), aDockerfile},
	{regexp.MustCompile(`^ARG\s+\w+`), aDockerfile},
	{regexp.MustCompile(`^#!`), "a script"},
	{regexp.MustCompile(`^<(?:\?xml|!DOCTYPE|html|project|[a-zA-Z]+[ >])`), "XML or HTML"},
	{regexp.MustCompile(`^(?:resource|provider|terraform|variable|module|data|locals|output)\s*(?:"[^"]*"\s*)*\{`), "Terraform's configuration; the file of a service is in its repository, the resource aws_apprunner_service refers to it"},
	{regexp.MustCompile(`^\[\[?[A-Za-z0-9_.-]+\]\]?\s*$`), "TOML or an INI file"},
	{regexp.MustCompile(`^(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*=`), "a file of environment variables; they go under run.env"},
	{regexp.MustCompile(`^(?:web|worker|release):\s+\S+.*$`), "a Procfile; its web line is run.command"},
	{regexp.MustCompile(`^(?:<<<<<<<|=======|>>>>>>>)`), "a file with an unresolved merge conflict"},
	{regexp.MustCompile(`^\x7fELF|^MZ|^PK\x03\x04|^\x1f\x8b`), "a binary file"},
	{regexp.MustCompile(`^version https://git-lfs`), "a pointer of Git LFS; add the file itself to the repository"},
}

const aDockerfile = "a Dockerfile; App Runner builds none. With Slipway, name it Dockerfile and write `runtime: docker` here, or have no apprunner.yaml"

// otherText names the kind of a file that can't be read as a mapping of YAML; "" when
// it isn't known.
func otherText(src string) string {
	src = strings.TrimPrefix(src, byteOrderMark)
	var first string
	for line := range strings.Lines(src) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "<<<<<<< ") {
			return "a file with an unresolved merge conflict"
		}
		if first == "" && line != "" && (line[0] != '#' || strings.HasPrefix(line, "#!")) {
			first = line
		}
	}
	for _, f := range lineForms {
		if f.form.MatchString(first) {
			return f.what
		}
	}
	trimmed := strings.TrimSpace(src)
	if strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		if json.Valid([]byte(trimmed)) {
			return "JSON"
		}
	}
	return ""
}

// otherMapping names the kind of a file by its keys; "" when they are App Runner's.
func otherMapping(root *yaml.Node) string {
	keys := map[string]*yaml.Node{}
	known := 0
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i].Value
		keys[key] = root.Content[i+1]
		if key == "runtime" || key == "build" || key == "run" {
			known++
		}
	}
	has := func(names ...string) bool {
		for _, n := range names {
			if keys[n] == nil {
				return false
			}
		}
		return true
	}
	switch {
	case has("AWSTemplateFormatVersion"), has("Resources") && known == 0:
		return "a CloudFormation template; it creates the service, and this file is in the repository of its source"
	case has("services") && known < 2 && keys["services"].Kind == yaml.MappingNode:
		return "a Compose file; App Runner runs one service, whose start command is run.command"
	case has("services") && known == 0:
		return "a Blueprint of Render"
	case has("apiVersion", "kind"):
		return "a Kubernetes manifest"
	case has("jobs") && known == 0:
		return "a workflow of a CI system"
	case has("phases") && known == 0:
		return "a buildspec of CodeBuild; its install and build commands go under build.commands"
	case has("type", "name") && strings.Contains(keys["type"].Value, "Web Service"):
		return "a manifest of AWS Copilot"
	case has("functions") || has("provider", "service"):
		return "a configuration of the Serverless Framework"
	case has("containerDefinitions"), has("family", "taskRoleArn"):
		return "a task definition of ECS"
	case has("SourceConfiguration"), has("ServiceName"), has("CodeRepository"):
		return "input of the API's CreateService; give it to `aws apprunner create-service`"
	case has("dependencies", "name"), has("scripts", "name"):
		return "a package.json"
	case has("openapi"), has("swagger"):
		return "a description of an API"
	case has("name", "on"):
		return "a workflow of a CI system"
	case has("entrypoint") && has("runtime") && known == 1, has("handlers", "runtime"):
		return "an app.yaml of Google App Engine"
	}
	return ""
}

// plainShape is how the file is meant to look, for findings about files that are
// something else.
const plainShape = "apprunner.yaml has the keys version, runtime, build and run"
