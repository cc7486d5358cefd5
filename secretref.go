package slipway

import (
	"regexp"
	"strconv"
	"strings"
)

// SecretReference is a parsed value of RuntimeEnvironmentSecrets: it names a secret
// of Secrets Manager or a parameter of Parameter Store.
type SecretReference struct {
	Partition, Region, Account string // of the ARN; "" when the reference is a name

	// Secret is the ARN of a secret, with or without its random suffix; "" if the
	// reference names a parameter. The other fields select a version and a part of
	// it; all of them "" select the whole value of AWSCURRENT.
	Secret                    string
	JSONKey, Stage, VersionID string

	// Parameter is the name of a parameter. A name without further slashes comes
	// out of an ARN without its leading slash: both names have the same ARN.
	Parameter string
	Version   int64 // 0 for the latest
}

// In reports whether the reference is to what a server of this region and account keeps.
func (r SecretReference) In(region, account string) bool {
	return r.Region == "" || r.Partition == "aws" && r.Region == region && r.Account == account
}

var (
	secretResource = regexp.MustCompile(`^[a-zA-Z0-9/_+=.@!-]{1,519}$`)
	stageForm      = regexp.MustCompile(`^[a-zA-Z0-9_+=.@!/-]{0,256}$`)
	versionForm    = regexp.MustCompile(`^[a-zA-Z0-9-]{32,64}$`)
	parameterForm  = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$|^(/[a-zA-Z0-9_.-]+)+$`)
	partitionPart  = regexp.MustCompile(`^aws(-[a-z0-9-]{1,32})?$`)
	regionPart     = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	accountPart    = regexp.MustCompile(`^[0-9]{12}$`)
)

// ParseSecretReference reads a reference in one of App Runner's forms:
//
//	arn:aws:secretsmanager:<region>:<account>:secret:<name>
//	arn:aws:secretsmanager:<region>:<account>:secret:<name>:<json key>:<version stage>:<version id>
//	arn:aws:ssm:<region>:<account>:parameter/<name>
//	<parameter name>
//
// Each of the three parts may be empty, and ":<version>" may follow a parameter.
// The error does not repeat the reference: it may be a secret that was put in the
// wrong place.
//
// https://docs.aws.amazon.com/apprunner/latest/dg/env-variable-manage.html
func ParseSecretReference(text string) (SecretReference, error) {
	if !strings.HasPrefix(text, "arn:") {
		return parameterReference(SecretReference{}, text)
	}
	f := strings.SplitN(text, ":", 6)
	if len(f) != 6 || !partitionPart.MatchString(f[1]) || !regionPart.MatchString(f[3]) || !accountPart.MatchString(f[4]) {
		return SecretReference{}, errReference
	}
	r := SecretReference{Partition: f[1], Region: f[3], Account: f[4]}
	switch f[2] {
	case "secretsmanager":
		return secretReference(r, strings.Join(f[:5], ":"), f[5])
	case "ssm":
		name, ok := strings.CutPrefix(f[5], "parameter/")
		if !ok {
			return SecretReference{}, errReference
		}
		if strings.Contains(name, "/") {
			name = "/" + name
		}
		return parameterReference(r, name)
	}
	return SecretReference{}, errReference
}

var errReference = Errorf(InvalidRequest, "It must be the ARN of a Secrets Manager secret "+
	"(arn:aws:secretsmanager:<region>:<account>:secret:<name>, with :<json key>:<version stage>:<version id> or without), "+
	"or the name or the ARN of an SSM parameter.")

func secretReference(r SecretReference, prefix, resource string) (SecretReference, error) {
	f := strings.Split(resource, ":")
	if len(f) != 2 && len(f) != 5 || f[0] != "secret" || !secretResource.MatchString(f[1]) {
		return SecretReference{}, errReference
	}
	r.Secret = prefix + ":secret:" + f[1]
	if len(f) == 5 {
		r.JSONKey, r.Stage, r.VersionID = f[2], f[3], f[4]
	}
	if !stageForm.MatchString(r.Stage) || r.VersionID != "" && !versionForm.MatchString(r.VersionID) {
		return SecretReference{}, errReference
	}
	return r, nil
}

func parameterReference(r SecretReference, text string) (SecretReference, error) {
	name, version, ok := strings.Cut(text, ":")
	if ok {
		n, err := strconv.ParseInt(version, 10, 64)
		if err != nil || n < 1 || version != strconv.FormatInt(n, 10) {
			return SecretReference{}, errReference
		}
		r.Version = n
	}
	if len(name) > 1011 || !parameterForm.MatchString(name) {
		return SecretReference{}, errReference
	}
	r.Parameter = name
	return r, nil
}
