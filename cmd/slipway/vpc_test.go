//go:build linux

package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/daemon"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
)

// configOf returns the configuration that these flags set.
func configOf(t *testing.T, getenv func(string) string, args ...string) (*daemon.Config, error) {
	t.Helper()
	m := &Main{Getenv: getenv}
	cmd, c := m.serveCommand()
	if err := cmd.ParseFlags(args); err != nil {
		return c, err
	}
	return c, readEnvironment(c, cmd.Flags(), getenv)
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	want := daemon.Networks{
		"subnet-a": {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("10.30.0.0/16")}, Via: "wg0"},
		"subnet-b": {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.40.0.0/24")}, Resolvers: []netip.Addr{netip.MustParseAddr("10.40.0.2"), netip.MustParseAddr("10.40.0.3")}},
		"subnet-c": {Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, NoDNS: true},
	}
	a, b, c := "subnet-a=10.20.0.0/16,10.30.0.0/16,via=wg0", "subnet-b=10.40.0.0/24,dns=10.40.0.2,dns=10.40.0.3", "subnet-c=0.0.0.0/0,dns=none"
	nothing := func(string) string { return "" }
	environment := func(name string) string {
		if name == "SLIPWAY_NETWORK" {
			return a + ";" + b + "\n  " + c
		}
		return ""
	}
	for name, got := range map[string]func() (*daemon.Config, error){
		"flags": func() (*daemon.Config, error) {
			return configOf(t, nothing, "--network", a, "--network", b, "--network="+c)
		},
		"one flag":    func() (*daemon.Config, error) { return configOf(t, nothing, "--network", a+" "+b+";"+c) },
		"environment": func() (*daemon.Config, error) { return configOf(t, environment) },
	} {
		conf, err := got()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(want, conf.Networks, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if d := cmp.Diff([]string{"subnet-a", "subnet-b", "subnet-c"}, conf.Networks.Subnets()); d != "" {
			t.Errorf("%s: subnets (-want +got):\n%s", name, d)
		}
	}
	if _, err := egress.New(egress.Config{Segments: want, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Error(err)
	}
}

func TestNetworksRefused(t *testing.T) {
	t.Parallel()
	for value, message := range map[string]string{
		"subnet-a":                               `it must be id=value, and "subnet-a" is not`,
		"=10.0.0.0/8":                            "it must be id=value",
		"subnet-a=":                              "it must be id=value",
		"subnet-a=10.20.0.1/16":                  "subnet-a: 10.20.0.1/16 has bits beyond its length; use 10.20.0.0/16",
		"subnet-a=fd00::/8":                      `subnet-a: "fd00::/8" is no IPv4 prefix`,
		"subnet-a=10.0.0.1":                      "is no IPv4 prefix",
		"subnet-a=via=wg0":                       "subnet-a: it has no prefix",
		"subnet-a=10.0.0.0/8,via=a,via=b":        `subnet-a: "via=b" is neither`,
		"subnet-a=10.0.0.0/8,mtu=1":              `"mtu=1" is neither`,
		"subnet-a=10.0.0.0/8,dns=here":           `dns is "here"; it must be an IPv4 address, or none`,
		"subnet-a=10.0.0.0/8,":                   `"" is no IPv4 prefix`,
		"subnet-a=10.0.0.0/8;subnet-a=0.0.0.0/0": "subnet-a: it is defined twice",
	} {
		_, err := configOf(t, func(string) string { return "" }, "--network", value)
		if err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), "--network") {
			t.Errorf("%s: %v, want an error with %q", value, err, message)
		}
	}
}

func TestDescribeNetwork(t *testing.T) {
	t.Parallel()
	door := types.VpcDNSTarget{VpcId: aws.String("vpc-1"), DomainName: aws.String("door.test")}
	gate := types.VpcDNSTarget{VpcId: aws.String("vpc-2"), DomainName: aws.String("gate.test")}
	connector := aws.String("arn:aws:apprunner:us-east-1:000000000000:vpcconnector/near/1/0123")
	for _, c := range []struct {
		network *types.NetworkConfiguration
		inside  []types.VpcDNSTarget
		want    string
	}{
		{nil, nil, ""},
		{&types.NetworkConfiguration{
			EgressConfiguration: &types.EgressConfiguration{EgressType: types.EgressTypeDefault}, IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: true},
		}, nil, ""},
		{&types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{}}, nil, "Access  private, without a VPC ingress connection\n"},
		{&types.NetworkConfiguration{
			EgressConfiguration: &types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: connector}, IngressConfiguration: &types.IngressConfiguration{},
		}, []types.VpcDNSTarget{door}, "Access  private, in vpc-1 as door.test\nEgress  VPC connector near\n"},
		{
			&types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{}},
			[]types.VpcDNSTarget{door, gate},
			"Access  private, in vpc-1 as door.test\nAccess  private, in vpc-2 as gate.test\n",
		},
	} {
		var s attributeTable
		var b bytes.Buffer
		describeNetwork(&s, c.network, c.inside)
		if err := s.Write(&b, term.Style{}); err != nil || b.String() != c.want {
			t.Errorf("%q (%v), want %q", b.String(), err, c.want)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	want := daemon.Endpoints{"vpce-1": {Addr: "10.0.0.5:8080", VPC: "vpc-0a"}, "vpce-2": {Addr: "[fd00::5]:0"}}
	conf, err := configOf(t, func(string) string { return "" }, "--vpc-endpoint", "vpce-1=10.0.0.5:8080,vpc=vpc-0a", "--vpc-endpoint", "vpce-2=[fd00::5]:0")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, conf.Endpoints); d != "" {
		t.Errorf("by flags (-want +got):\n%s", d)
	}
	conf, err = configOf(t, func(name string) string {
		return map[string]string{"SLIPWAY_VPC_ENDPOINT": "vpce-1=10.0.0.5:8080,vpc=vpc-0a; vpce-2=[fd00::5]:0"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, conf.Endpoints); d != "" {
		t.Errorf("by the environment (-want +got):\n%s", d)
	}
	for value, message := range map[string]string{
		"vpce-1":                        "it must be id=value",
		"vpce-1=10.0.0.5":               `vpce-1: "10.0.0.5" is no address like 10.0.0.5:8080`,
		"vpce-1=10.0.0.5:1,vpc=":        `"vpc=" is neither the one vpc=ID nor tls`,
		"vpce-1=10.0.0.5:1,vpc=a,vpc=b": `"vpc=b" is neither the one vpc=ID nor tls`,
		"vpce-1=10.0.0.5:1,tls=on":      `"tls=on" is neither the one vpc=ID nor tls`,
		"vpce-1=10.0.0.5:1;vpce-1=:0":   "vpce-1: it is defined twice",
	} {
		if _, err := configOf(t, func(string) string { return "" }, "--vpc-endpoint", value); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v, want an error with %q", value, err, message)
		}
	}
}
