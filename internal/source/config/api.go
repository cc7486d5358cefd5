package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

// FromAPI returns what a call of the API says in place of a file. Its findings have no
// position, and their texts name the members of CodeConfigurationValues. Variables and
// secrets are in the order of their names.
func FromAPI(v *types.CodeConfigurationValues) (File, []Finding) {
	var f File
	var findings []Finding
	add := func(s Severity, code, format string, args ...any) {
		findings = append(findings, Finding{Severity: s, Code: code, Message: fmt.Sprintf(format, args...)})
	}
	if v == nil {
		add(Error, CodeMissing, "CodeConfigurationValues is missing; it is required when ConfigurationSource is API")
		return f, findings
	}
	r, ok := findRuntime(func(r Runtime) bool {
		return r.API != "" && r.API == string(v.Runtime) || r.Name == strings.ToLower(strings.ReplaceAll(string(v.Runtime), "_", ""))
	})
	if !ok {
		add(Error, CodeRuntime, "CodeConfigurationValues.Runtime is %q; it must be one of %s", string(v.Runtime), apiNames())
	}
	f.Runtime = r.Name
	if c := strings.TrimSpace(aws.ToString(v.BuildCommand)); c != "" {
		f.Build = []string{c}
	}
	f.Command = strings.TrimSpace(aws.ToString(v.StartCommand))
	if f.Command == "" && r.Name != Docker {
		add(Error, CodeMissing, "CodeConfigurationValues.StartCommand is missing; a managed runtime needs the command that starts the service, such as %q", exampleCommand(r.Language))
	}
	if s := aws.ToString(v.Port); s != "" {
		if f.Port, _ = strconv.Atoi(s); !validPort(s) {
			add(Error, CodePort, "CodeConfigurationValues.Port is %q; it must be a number from 1 to 65535", s)
		}
	}
	f.Env = sortedVariables(v.RuntimeEnvironmentVariables)
	if i := slices.IndexFunc(f.Env, func(e Variable) bool { return e.Name == "PORT" }); i >= 0 {
		add(Warning, CodePortVariable, "CodeConfigurationValues.RuntimeEnvironmentVariables has PORT, which is always set to Port; the value is not used")
		f.Env = slices.Delete(f.Env, i, i+1)
	}
	f.Secrets = sortedVariables(v.RuntimeEnvironmentSecrets)
	for _, s := range f.Secrets {
		if _, err := slipway.ParseSecretReference(s.Value); err != nil {
			add(Error, CodeSecret, "CodeConfigurationValues.RuntimeEnvironmentSecrets: the value of %q is no reference to a secret. %s", s.Name, err)
		}
	}
	return f, findings
}

func sortedVariables(m map[string]string) []Variable {
	var all []Variable
	for name, value := range m {
		all = append(all, Variable{name, value})
	}
	slices.SortFunc(all, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// apiNames lists the values of CodeConfigurationValues.Runtime.
func apiNames() string {
	var names []string
	for _, r := range Runtimes() {
		if r.API != "" {
			names = append(names, r.API)
		}
	}
	return strings.Join(names, ", ")
}
