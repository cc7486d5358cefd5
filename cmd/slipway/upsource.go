package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/plan"
	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/cli/upload"
)

// isSource reports whether a path is a directory with source code, and not an image in
// the form of a directory.
func isSource(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	_, err = os.Lstat(filepath.Join(path, "oci-layout"))
	return err != nil
}

// code is the source code that a service is built from.
type code struct {
	url       string // of the upload
	directory string // below its root; "" for the root
	runtime   string // as in the API; "" if it has no name there
}

// openSource reads a directory with source code and says how it is built.
func (m *Main) openSource(verb, path string, choices []string) (*upload.Directory, error) {
	r := m.planRequest([]string{path}, choices)
	r.Verb = verb
	d, err := upload.Open(r)
	if err != nil {
		return nil, err
	}
	p := m.progress()
	p.Say(term.Plain, "%s", plan.Summary(d.Graph))
	for _, w := range d.Graph.Warnings {
		if !strings.Contains(w, "App Runner") && !strings.Contains(w, "apprunner.yaml") { // of no concern here
			p.Say(term.Warn, "%s", w)
		}
	}
	return d, nil
}

// send uploads the directory and says what of it was sent.
func (m *Main) send(ctx context.Context, c *client.Client, d *upload.Directory) (code, error) {
	p := m.progress()
	defer p.Clear()
	begun := m.Now()
	s, err := d.Send(ctx, c, func(done, total int64) { p.Status("Sending %s of %s", term.Bytes(done), term.Bytes(total)) })
	if err != nil {
		return code{}, err
	}
	switch took := term.Took(m.Now().Sub(begun)); {
	case s.Files == 0:
		p.Say(term.Plain, "Nothing to send: no file has changed")
	case s.Files < d.Files:
		p.Say(term.Plain, "Sent %d of %s, %s in %s", s.Files, counted(d.Files, "file"), term.Bytes(s.Bytes), took)
	default:
		p.Say(term.Plain, "Sent %s, %s in %s", counted(d.Files, "file"), term.Bytes(s.Bytes), took)
	}
	return code{url: s.URL, directory: d.Directory, runtime: plan.RuntimeOfAPI(d.Graph)}, nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sourceTitle returns the name that a directory gives a service.
func sourceTitle(path string, d *upload.Directory) string {
	abs, err := filepath.Abs(filepath.Join(path, filepath.FromSlash(d.Directory)))
	if err != nil {
		return path
	}
	return strings.ToLower(filepath.Base(abs))
}

// fromSource sends the directory and returns it as what a service is to have.
func (up *upCommand) fromSource(ctx context.Context, c *client.Client, path string) (upImage, error) {
	sent, err := up.m.send(ctx, c, up.tree)
	return upImage{code: &sent, title: sourceTitle(path, up.tree)}, err
}

// sourceOfCode returns the source configuration with the code, and with old's other values.
func (d desired) sourceOfCode(old *types.SourceConfiguration) *types.SourceConfiguration {
	source := &types.SourceConfiguration{AutoDeploymentsEnabled: aws.Bool(false)}
	var values *types.CodeConfigurationValues
	if old != nil {
		source.AutoDeploymentsEnabled = old.AutoDeploymentsEnabled
		if r := old.CodeRepository; r != nil && r.CodeConfiguration != nil {
			values = r.CodeConfiguration.CodeConfigurationValues
		}
	}
	if values != nil || d.configures() {
		values = d.overrides(values)
	}
	if d.repository != nil {
		source.CodeRepository, source.AuthenticationConfiguration = d.inRepository(values), old.AuthenticationConfiguration
		return source
	}
	source.CodeRepository = &types.CodeRepository{
		RepositoryUrl:     &d.code.url,
		SourceDirectory:   aws.String("/" + d.code.directory),
		SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("upload")}, // the API requires one
		CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository, CodeConfigurationValues: values},
	}
	return source
}

// configures reports whether the source's configuration is to change.
func (d desired) configures() bool {
	return d.port != nil || d.startCommand != nil || len(d.set)+len(d.secrets)+len(d.unset) > 0
}

// overrides returns the values that win over those of the files.
func (d desired) overrides(old *types.CodeConfigurationValues) *types.CodeConfigurationValues {
	v := types.CodeConfigurationValues{}
	if old != nil {
		v = *old
	}
	if v.Runtime = types.Runtime(d.code.runtime); v.Runtime == "" {
		v.Runtime = types.RuntimePython3 // the API requires one; the build takes that of the files
	}
	if d.port != nil {
		v.Port = d.port
	}
	if d.startCommand != nil {
		v.StartCommand = d.startCommand
	}
	v.RuntimeEnvironmentVariables = d.merged(v.RuntimeEnvironmentVariables, d.set, d.secrets)
	v.RuntimeEnvironmentSecrets = d.merged(v.RuntimeEnvironmentSecrets, d.secrets, d.set)
	return &v
}

// deployedCode returns the parts of a source that up can change, as deployed does.
func deployedCode(r *types.CodeRepository) any {
	type built struct {
		url, directory, configuration, port, start string
		env, secrets                               map[string]string
	}
	c := built{
		url: aws.ToString(r.RepositoryUrl), directory: strings.Trim(aws.ToString(r.SourceDirectory), "/"),
		env: map[string]string{}, secrets: map[string]string{},
	}
	if r.CodeConfiguration == nil {
		return c
	}
	c.configuration = string(r.CodeConfiguration.ConfigurationSource)
	if v := r.CodeConfiguration.CodeConfigurationValues; v != nil {
		c.port, c.start = aws.ToString(v.Port), aws.ToString(v.StartCommand)
		maps.Copy(c.env, v.RuntimeEnvironmentVariables)
		maps.Copy(c.secrets, v.RuntimeEnvironmentSecrets)
	}
	return c
}

// fits returns an error if the service can't become what is to be deployed.
func (up *upCommand) fits(svc *types.Service, d desired) error {
	s := svc.SourceConfiguration
	hint := "Choose another --name, or `slipway rm " + up.name + "` first."
	switch {
	case d.code == nil && (s == nil || s.ImageRepository == nil):
		return &client.Problem{Text: fmt.Sprintf("service %s is built from source code; it can't run an image", up.name), Hint: hint}
	case d.code == nil:
		return nil
	case s == nil || s.CodeRepository == nil:
		return &client.Problem{Text: fmt.Sprintf("service %s runs an image; it can't be built from source code", up.name), Hint: hint}
	case !strings.HasPrefix(aws.ToString(s.CodeRepository.RepositoryUrl), "upload://"):
		return &client.Problem{
			Text: fmt.Sprintf("service %s is built from %s", up.name, aws.ToString(s.CodeRepository.RepositoryUrl)),
			Hint: "`slipway deploy " + up.name + "` deploys what was pushed there. " + hint,
		}
	}
	return nil
}
