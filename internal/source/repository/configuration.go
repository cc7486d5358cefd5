package repository

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/detect"
	"github.com/openslipway/slipway/internal/source/git"
)

// plan is how a tree is built and started.
type plan struct {
	file    config.File
	docker  string // path of the Dockerfile that makes the image; "" if a managed runtime does
	program string // path of the static program that is all to deploy of it; "" if it needs more
}

// configuration returns how a tree is built and started: as its apprunner.yaml says, as
// the API does, or as its files suggest. output gets every remark about it.
func (m *Maker) configuration(r source.Repository, dir string, progress, output func(line string)) (plan, error) {
	p, err := m.read(r, dir, progress, output)
	switch {
	case err != nil:
		return plan{}, err
	case r.Build.Dockerfile != "":
		p.docker, p.program = r.Build.Dockerfile, ""
	case p.docker == "" && p.file.Runtime == config.Docker:
		p.docker = defaultDockerfile
	}
	return p, nil
}

// defaultDockerfile is what is built by `runtime: docker` without a path.
const defaultDockerfile = "Dockerfile"

// read returns the configuration of a tree, and what was detected.
func (m *Maker) read(r source.Repository, dir string, progress, output func(line string)) (p plan, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return p, fmt.Errorf("open source code: %w", err)
	}
	defer root.Close()
	if fi, err := root.Stat(path.Join(".", r.Directory)); err != nil || !fi.IsDir() {
		return p, slipway.Errorf(slipway.InvalidRequest, "The repository has no directory %q, which is the SourceDirectory of this service.", "/"+r.Directory)
	}
	if r.Configuration.ConfigurationSource == types.ConfigurationSourceApi {
		var findings []config.Finding
		p.file, findings = config.FromAPI(r.Configuration.CodeConfigurationValues)
		return p, judge("", findings, output)
	}
	name, data, err := readFile(root, r.Directory)
	switch {
	case err != nil:
		return p, err
	case name == "" && r.Build.Dockerfile != "": // it makes the image, and has the command
		return plan{file: config.File{Runtime: config.Docker}}, nil
	case name == "" && (r.Build.Detect || slipway.IsUploadURL(r.URL)):
		return detected(root, r.Directory, progress, output)
	}
	progress("Reading apprunner.yaml config file.")
	if name == "" {
		return p, notFound(r.Directory)
	}
	var findings []config.Finding
	p.file, findings = config.Parse(name, data)
	if err := judge(name, findings, output); err != nil {
		return p, err
	}
	progress("Successfully validate configuration file.")
	return p, nil
}

// detected returns how a tree without a configuration file is built and started, as its
// files suggest. output gets each conclusion with its reason.
func detected(root *os.Root, dir string, progress, output func(line string)) (plan, error) {
	sub, err := root.OpenRoot(path.Join(".", dir))
	if err != nil {
		return plan{}, fmt.Errorf("open the source directory: %w", err)
	}
	defer sub.Close()
	progress("There is no apprunner.yaml: detecting how to build the source code.")
	d, err := detect.Detect(sub.FS())
	if err != nil {
		return plan{}, err
	}
	for _, why := range d.Why {
		output("[AppRunner] Detected: " + why + ".")
	}
	for _, warning := range d.Warnings {
		output("[AppRunner] warning: " + warning)
	}
	return plan{d.File, d.Dockerfile, d.Binaries}, nil
}

// notFound is the error for a git repository without a configuration file.
func notFound(dir string) error {
	return slipway.Errorf(slipway.InvalidRequest,
		"App Runner configuration file apprunner.yaml not found. It must be in the source directory /%s: `slipway init` writes one. Or set the tag slipway:detect=true of the service, which builds the source as its files suggest, or ConfigurationSource API.", dir)
}

// readFile reads the configuration file of a source directory; its name may be the
// one that App Runner passes over, which package config has a remark about. The name is
// "" if there is none.
func readFile(root *os.Root, dir string) (name string, data []byte, err error) {
	for _, name := range []string{config.FileName, "apprunner.yml"} {
		f, err := root.OpenFile(path.Join(".", dir, name), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return name, nil, unreadable(name, err.Error())
		}
		defer f.Close()
		if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
			return name, nil, unreadable(name, "it is no file")
		}
		data, err := io.ReadAll(io.LimitReader(f, config.MaxSize+1))
		if err != nil {
			return name, nil, fmt.Errorf("read %s: %w", name, err)
		}
		return name, data, nil
	}
	return "", nil, nil
}

func unreadable(name, why string) error {
	return slipway.Errorf(slipway.InvalidRequest, "The configuration file %s can't be read: %s.", name, why)
}

// judge writes the findings to the build's output and returns the first mistake as an
// error; nil if the configuration can be used. name is the file's, "" for the API's
// values.
func judge(name string, findings []config.Finding, output func(line string)) error {
	var first *config.Finding
	mistakes := 0
	for i, f := range findings {
		output(fmt.Sprintf("[AppRunner] %s: %s", f.Severity, place(name, f)+f.Message))
		if f.Severity != config.Error {
			continue
		}
		if mistakes++; first == nil {
			first = &findings[i]
		}
	}
	if first == nil {
		return nil
	}
	text := place(name, *first) + first.Message + "."
	if mistakes > 1 {
		text += fmt.Sprintf(" The build's log lists this and %d more.", mistakes-1)
	}
	return slipway.Errorf(slipway.InvalidRequest, "%s", text)
}

// place says where a finding is, as compilers do.
func place(name string, f config.Finding) string {
	switch {
	case name == "":
		return ""
	case f.Line == 0:
		return name + ": "
	}
	return fmt.Sprintf("%s:%d:%d: ", name, f.Line, f.Column)
}

// version returns what a release records of a build.
func version(rev git.Revision, file config.File, r source.Repository) slipway.CodeVersion {
	port := file.Port
	if port == 0 {
		port = config.DefaultPort
	}
	v := slipway.CodeVersion{
		Commit: rev.Commit, Directory: rev.DirectoryTree, Port: strconv.Itoa(port), Command: file.Command,
		Environment: byName(file.Env), Secrets: byName(file.Secrets),
	}
	if slipway.IsUploadURL(r.URL) {
		v.Upload = r.URL
		override(&v, r.Configuration)
	}
	if file.PortVariable != "" {
		if v.Environment == nil {
			v.Environment = map[string]string{}
		}
		v.Environment[file.PortVariable] = v.Port
	}
	return v
}

// override applies what a service sets beside the files of its upload, and what wins
// over them.
func override(v *slipway.CodeVersion, c types.CodeConfiguration) {
	set := c.CodeConfigurationValues
	if set == nil || c.ConfigurationSource != types.ConfigurationSourceRepository {
		return
	}
	v.Port = cmp.Or(aws.ToString(set.Port), v.Port)
	v.Command = cmp.Or(aws.ToString(set.StartCommand), v.Command)
	v.Environment = merged(v.Environment, set.RuntimeEnvironmentVariables, set.RuntimeEnvironmentSecrets)
	v.Secrets = merged(v.Secrets, set.RuntimeEnvironmentSecrets, set.RuntimeEnvironmentVariables)
}

// merged returns the variables of a map with those that are set, and without those that
// are set as the other kind, plain or secret.
func merged(m, set, other map[string]string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	maps.DeleteFunc(m, func(name, _ string) bool { _, ok := other[name]; return ok })
	maps.Copy(m, set)
	if len(m) == 0 {
		return nil
	}
	return m
}

func byName(list []config.Variable) map[string]string {
	var m map[string]string
	for _, v := range list {
		if m == nil {
			m = map[string]string{}
		}
		m[v.Name] = v.Value
	}
	return m
}

// variables is the inverse of byName, in the order of names.
func variables(m map[string]string) (list []config.Variable) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, config.Variable{Name: name, Value: m[name]})
	}
	return list
}
