package slipway

import (
	"cmp"
	"fmt"
	"strings"
)

// ARN is an App Runner resource name:
// arn:aws:apprunner:<region>:<account>:<type>/<name>[/<revision>][/<id>].
type ARN struct {
	Partition       string // "" for aws, which all of this server's are in
	Region, Account string
	Type            string   // "service", "autoscalingconfiguration", ...
	Parts           []string // what follows the type: name, then revision and id where given
}

// String returns the ARN's text.
func (a ARN) String() string {
	return fmt.Sprintf("arn:%s:apprunner:%s:%s:%s/%s", cmp.Or(a.Partition, "aws"), a.Region, a.Account, a.Type, strings.Join(a.Parts, "/"))
}

// In reports whether the resource is one of a server's region and account.
func (a ARN) In(region, account string) bool {
	return cmp.Or(a.Partition, "aws") == "aws" && a.Region == region && a.Account == account
}

// Name returns the resource's name.
func (a ARN) Name() string { return a.Parts[0] }

// ParseARN parses an App Runner ARN. It returns an *Error for another service's ARN
// and for an empty part. The caller checks which parts the type needs.
func ParseARN(s string) (ARN, error) {
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" || !partitionPart.MatchString(f[1]) || f[2] != "apprunner" {
		return ARN{}, Errorf(InvalidRequest, "%q is not an App Runner ARN (arn:aws:apprunner:<region>:<account>:<type>/<name>/...).", s)
	}
	p := strings.Split(f[5], "/")
	if len(p) < 2 || len(p) > 4 {
		return ARN{}, Errorf(InvalidRequest, "%q is not an App Runner ARN: %q is not <type>/<name>/...", s, f[5])
	}
	for _, v := range append(p, f[3], f[4]) {
		if v == "" {
			return ARN{}, Errorf(InvalidRequest, "%q is not an App Runner ARN: it has an empty part.", s)
		}
	}
	partition := f[1]
	if partition == "aws" {
		partition = ""
	}
	return ARN{Partition: partition, Region: f[3], Account: f[4], Type: p[0], Parts: p[1:]}, nil
}
