package api

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

// sizes holds the allowed memory, in MB, for each Cpu, in units.
var sizes = []struct {
	cpu    string
	memory []string
}{
	{"256", []string{"512", "1024"}},
	{"512", []string{"1024"}},
	{"1024", []string{"2048", "3072", "4096"}},
	{"2048", []string{"4096", "6144"}},
	{"4096", []string{"8192", "10240", "12288"}},
}

// spellings maps the other spelling of a Cpu or Memory to units and megabytes.
var spellings = map[string]string{
	"0.25 vCPU": "256", "0.5 vCPU": "512", "1 vCPU": "1024", "2 vCPU": "2048", "4 vCPU": "4096",
	"0.5 GB": "512", "1 GB": "1024", "2 GB": "2048", "3 GB": "3072", "4 GB": "4096", "6 GB": "6144",
	"8 GB": "8192", "10 GB": "10240", "12 GB": "12288",
}

// units returns a size in the spelling of replies.
func units(s string) string {
	if u, ok := spellings[s]; ok {
		return u
	}
	return s
}

// applyInstance applies a call's instance configuration and checks the resulting
// pair of Cpu and Memory.
func applyInstance(c types.InstanceConfiguration, in *types.InstanceConfiguration) (types.InstanceConfiguration, error) {
	if in == nil {
		return c, nil
	}
	if in.Cpu != nil {
		c.Cpu = aws.String(units(*in.Cpu))
	}
	if in.Memory != nil {
		c.Memory = aws.String(units(*in.Memory))
	}
	if in.InstanceRoleArn != nil {
		c.InstanceRoleArn = in.InstanceRoleArn
	}
	var cpus []string
	for _, s := range sizes {
		if s.cpu != *c.Cpu {
			cpus = append(cpus, s.cpu)
			continue
		}
		if !slices.Contains(s.memory, *c.Memory) {
			return c, slipway.Errorf(slipway.InvalidRequest,
				"InstanceConfiguration: Memory %s is not available with Cpu %s; with it Memory can be %s.", *c.Memory, s.cpu, strings.Join(s.memory, ", "))
		}
		return c, nil
	}
	return c, slipway.Errorf(slipway.InvalidRequest, "InstanceConfiguration: Cpu %q is none of %s.", *c.Cpu, strings.Join(cpus, ", "))
}
