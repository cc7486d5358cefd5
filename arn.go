package slipway

import (
	"fmt"
	"strings"
)

// ARN is an App Runner resource name:
// arn:aws:apprunner:<region>:<account>:<type>/<name>[/<revision>][/<id>].
type ARN struct {
	Region, Account string
	Type            string   // "service", "autoscalingconfiguration", ...
	Parts           []string // what follows the type: name, then revision and id where given
}

// String returns the ARN's text.
func (a ARN) String() string {
	return fmt.Sprintf("arn:aws:apprunner:%s:%s:%s/%s", a.Region, a.Account, a.Type, strings.Join(a.Parts, "/"))
}

// Name returns the resource's name.
func (a ARN) Name() string { return a.Parts[0] }

// ParseARN parses an App Runner ARN. It returns an *Error for another service's ARN
// and for an empty part. The caller checks which parts the type needs.
func ParseARN(s string) (ARN, error) {
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" || (f[1] != "aws" && !strings.HasPrefix(f[1], "aws-")) || f[2] != "apprunner" {
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
	return ARN{Region: f[3], Account: f[4], Type: p[0], Parts: p[1:]}, nil
}
