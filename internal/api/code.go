package api

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// applyCode applies a call's source configuration to that of a service whose source
// is a code repository. created says that the service has none yet.
func (a *API) applyCode(tx *store.Tx, s types.SourceConfiguration, c change, created bool) (types.SourceConfiguration, error) {
	in := c.source
	if a.cfg.CheckRepository == nil {
		return s, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration: this server builds no code; give an ImageRepository instead of the CodeRepository.")
	}
	var err error
	if in.CodeRepository != nil {
		before := s.CodeRepository
		if s.CodeRepository, err = applyRepository(before, in.CodeRepository); err != nil {
			return s, err
		}
		if err := a.checkRepository(tx, before, s.CodeRepository, c.caller); err != nil {
			return s, slipway.Errorf(slipway.InvalidRequest, "CodeRepository: %v", err)
		}
	}
	if s.AuthenticationConfiguration, err = a.authenticateCode(tx, s, in.AuthenticationConfiguration); err != nil {
		return s, err
	}
	if in.AutoDeploymentsEnabled != nil {
		s.AutoDeploymentsEnabled = in.AutoDeploymentsEnabled
	} else if created {
		s.AutoDeploymentsEnabled = aws.Bool(true)
	}
	return s, nil
}

// checkRepository checks that code may be fetched from where the repository is. An
// upload is the caller's own, or the one that the service has already: whoever may
// change the service may leave it there. There is the same error for one that does not
// exist and for another user's, so that nobody learns of it.
func (a *API) checkRepository(tx *store.Tx, before, r *types.CodeRepository, c gateway.Caller) error {
	url := aws.ToString(r.RepositoryUrl)
	if !slipway.IsUploadURL(url) {
		return a.cfg.CheckRepository(url)
	}
	id, err := slipway.ParseUploadURL(url)
	if err != nil || before != nil && aws.ToString(before.RepositoryUrl) == url {
		return err
	}
	up, err := tx.Upload(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && up.Owner != c.UserID && c.User != gateway.Root {
		return slipway.Errorf(slipway.InvalidRequest,
			"you have no upload %s: there is none, or nothing used it for a week, or another user sent it. `slipway up DIR` sends one.", id)
	}
	return err
}

// applyRepository returns the code repository with a call's changes. r is nil for a
// new service, which needs a CodeConfiguration. A later call may leave it out.
// https://docs.aws.amazon.com/apprunner/latest/api/API_CodeRepository.html
func applyRepository(r, in *types.CodeRepository) (*types.CodeRepository, error) {
	next := types.CodeRepository{
		RepositoryUrl: in.RepositoryUrl, SourceCodeVersion: in.SourceCodeVersion, SourceDirectory: aws.String("/"),
	}
	if r != nil {
		next.SourceDirectory, next.CodeConfiguration = r.SourceDirectory, r.CodeConfiguration
	}
	branch := aws.ToString(in.SourceCodeVersion.Value)
	if reason := badBranch(branch); reason != "" {
		return nil, slipway.Errorf(slipway.InvalidRequest, "SourceCodeVersion: Value %.100q is no name of a branch: %s.", branch, reason)
	}
	if in.SourceDirectory != nil {
		if reason := badDirectory(*in.SourceDirectory); reason != "" {
			return nil, slipway.Errorf(slipway.InvalidRequest,
				"CodeRepository: SourceDirectory %.100q %s. It is a path from the root of the repository, like /services/shop.", *in.SourceDirectory, reason)
		}
		next.SourceDirectory = in.SourceDirectory
	}
	if in.CodeConfiguration == nil && next.CodeConfiguration == nil {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"CodeRepository: CodeConfiguration is required: ConfigurationSource REPOSITORY for a repository with an apprunner.yaml, or API with CodeConfigurationValues.")
	}
	var err error
	next.CodeConfiguration, err = applyCodeConfiguration(next.CodeConfiguration, in.CodeConfiguration, slipway.IsUploadURL(aws.ToString(in.RepositoryUrl)))
	return &next, err
}

// badBranch says why git allows no branch of this name; "" if it does.
// https://git-scm.com/docs/git-check-ref-format
func badBranch(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > 244: // with refs/heads/ the longest name of a file
		return "it has more than 244 bytes"
	case strings.HasPrefix(name, "-"), strings.HasPrefix(name, "/"), strings.HasSuffix(name, "/"), strings.HasSuffix(name, "."):
		return "it begins with - or /, or ends with / or a dot"
	case strings.Contains(name, ".."), strings.Contains(name, "//"), strings.Contains(name, "@{"), name == "@":
		return "it has .., // or @{"
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) }):
		return `it has a blank, a control character or one of ~ ^ : ? * [ \`
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return "a part of it begins with a dot or ends with .lock"
		}
	}
	return ""
}

// badDirectory says why a path names no directory in a repository; "" if it may.
func badDirectory(dir string) string {
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		switch {
		case part == "..", part == ".":
			return "has the part " + strconv.Quote(part)
		case part == "" && strings.Trim(dir, "/") != "":
			return "has an empty part"
		case strings.EqualFold(part, ".git"):
			return "is in .git, which builds do not see"
		}
	}
	if strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return "has a backslash or a control character"
	}
	return ""
}

// applyCodeConfiguration applies a call's configuration. With the source REPOSITORY
// the values are those of apprunner.yaml; App Runner then ignores the call's and
// returns none. Of an upload they are set beside those of the files, and win.
func applyCodeConfiguration(c, in *types.CodeConfiguration, upload bool) (*types.CodeConfiguration, error) {
	if in == nil {
		return c, nil
	}
	if in.ConfigurationSource == types.ConfigurationSourceRepository {
		next := &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository}
		if !upload {
			return next, nil
		}
		var v *types.CodeConfigurationValues
		if c != nil && c.ConfigurationSource == types.ConfigurationSourceRepository {
			v = c.CodeConfigurationValues
		}
		var err error
		next.CodeConfigurationValues, err = applyOverrides(v, in.CodeConfigurationValues)
		return next, err
	}
	next := types.CodeConfiguration{ConfigurationSource: in.ConfigurationSource}
	if c != nil {
		next.CodeConfigurationValues = c.CodeConfigurationValues
	}
	if in.CodeConfigurationValues == nil && next.CodeConfigurationValues == nil {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"CodeConfiguration: ConfigurationSource API requires CodeConfigurationValues; with REPOSITORY they are read from apprunner.yaml.")
	}
	var err error
	next.CodeConfigurationValues, err = applyCodeValues(next.CodeConfigurationValues, in.CodeConfigurationValues)
	return &next, err
}

// applyOverrides changes the values that win over an upload's files. The model requires
// a runtime; the build takes that of the files, and has no use for a BuildCommand here.
func applyOverrides(v, in *types.CodeConfigurationValues) (*types.CodeConfigurationValues, error) {
	if in == nil {
		return v, nil
	}
	if in.BuildCommand != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"CodeConfigurationValues: BuildCommand can't be set with ConfigurationSource REPOSITORY; an apprunner.yaml in the upload has the commands of its build.")
	}
	if v == nil {
		v = &types.CodeConfigurationValues{}
	}
	return applyCodeValues(v, in)
}

// applyCodeValues changes the values member by member. A map in the call replaces
// the whole map. The model's constraints have checked the name of the runtime.
func applyCodeValues(v, in *types.CodeConfigurationValues) (*types.CodeConfigurationValues, error) {
	next := types.CodeConfigurationValues{Port: aws.String(strconv.Itoa(slipway.DefaultPort))}
	if v != nil {
		next = *v
		next.RuntimeEnvironmentVariables = maps.Clone(v.RuntimeEnvironmentVariables)
		next.RuntimeEnvironmentSecrets = maps.Clone(v.RuntimeEnvironmentSecrets)
	}
	if in == nil {
		return &next, nil
	}
	next.Runtime = in.Runtime
	if in.BuildCommand != nil {
		next.BuildCommand = in.BuildCommand
	}
	if in.StartCommand != nil {
		next.StartCommand = in.StartCommand
	}
	if in.Port != nil {
		if err := checkPort("CodeConfigurationValues", *in.Port); err != nil {
			return nil, err
		}
		next.Port = in.Port
	}
	for member, command := range map[string]*string{"BuildCommand": in.BuildCommand, "StartCommand": in.StartCommand} {
		if command != nil && strings.Contains(*command, "\x00") {
			return nil, slipway.Errorf(slipway.InvalidRequest, "CodeConfigurationValues: %s has a NUL, which no command can have.", member)
		}
	}
	next.RuntimeEnvironmentVariables = replace(next.RuntimeEnvironmentVariables, in.RuntimeEnvironmentVariables)
	next.RuntimeEnvironmentSecrets = replace(next.RuntimeEnvironmentSecrets, in.RuntimeEnvironmentSecrets)
	return &next, checkEnvironment("CodeConfigurationValues", next.RuntimeEnvironmentVariables, next.RuntimeEnvironmentSecrets)
}

// authenticateCode applies a call's credentials for a code repository, and checks
// them for the repository that the service then has. App Runner requires a connection
// for GitHub and Bitbucket, its only providers; of other repositories those that are
// read by ssh need one. The credential of a connection is for its host only: another
// one never gets it.
func (a *API) authenticateCode(tx *store.Tx, s types.SourceConfiguration, in *types.AuthenticationConfiguration) (*types.AuthenticationConfiguration, error) {
	next := s.AuthenticationConfiguration
	if in != nil {
		switch {
		case in.AccessRoleArn != nil:
			return nil, slipway.Errorf(slipway.InvalidRequest,
				"AuthenticationConfiguration: an AccessRoleArn is for images; a code repository needs a ConnectionArn or nothing.")
		case in.ConnectionArn != nil:
			next = in
		}
	}
	at, provider := aws.ToString(s.CodeRepository.RepositoryUrl), ""
	if a.cfg.Provider != nil {
		provider = a.cfg.Provider.Owner(at)
	}
	given := in != nil && in.ConnectionArn != nil
	protocol, _ := slipway.RepositoryHost(at)
	required := provider == string(types.ProviderTypeGithub) || provider == string(types.ProviderTypeBitbucket) || protocol == "ssh"
	if next == nil && protocol == "ssh" {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"AuthenticationConfiguration: a repository that is read by ssh requires the ConnectionArn of a connection with a deploy key. `slipway connection create NAME --provider git --host HOST --ssh` makes one.")
	}
	if next == nil && !required {
		return nil, nil
	}
	c, err := a.usableConnection(tx, next)
	serves := a.cfg.Provider != nil && a.cfg.Provider.Serves(c, at)
	if !serves && !given && !required {
		return nil, nil // the repository has moved away from its provider
	}
	if err != nil {
		return nil, err
	}
	if !serves {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"AuthenticationConfiguration: connection %s is for repositories of %s, and %.200s is not one of them. Leave ConnectionArn out if it is public.",
			c.Name, where(c), at)
	}
	return &types.AuthenticationConfiguration{ConnectionArn: &c.ARN}, nil
}

// checkEnvironment refuses names that no process can have in its environment. Its
// errors never repeat a value. configuration is the structure that has the port.
func checkEnvironment(configuration string, variables, secrets map[string]string) error {
	for _, list := range []struct {
		member string
		env    map[string]string
	}{
		{"RuntimeEnvironmentVariables", variables},
		{"RuntimeEnvironmentSecrets", secrets},
	} {
		for _, key := range slices.Sorted(maps.Keys(list.env)) {
			if reason := unsettable(configuration, key, list.env[key]); reason != "" {
				return slipway.Errorf(slipway.InvalidRequest, "%s: %.100q %s.", list.member, key, reason)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		if _, err := slipway.ParseSecretReference(secrets[key]); err != nil {
			return slipway.Errorf(slipway.InvalidRequest, "RuntimeEnvironmentSecrets: the value of %.100q is no reference. %v", key, err)
		}
		if _, ok := variables[key]; ok {
			return slipway.Errorf(slipway.InvalidRequest,
				"%.100q is in both RuntimeEnvironmentVariables and RuntimeEnvironmentSecrets.", key)
		}
	}
	return nil
}

func unsettable(configuration, key, value string) string {
	switch {
	case key == "PORT":
		return "is reserved: it is set to " + configuration + ".Port"
	case strings.ContainsAny(key, "=\x00"):
		return "is no name of an environment variable: it has an = or a NUL"
	case strings.Contains(value, "\x00"):
		return "has a value with a NUL, which no environment variable can have"
	}
	return ""
}
