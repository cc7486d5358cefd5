package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

// everything is a service with every member set that an update may keep.
const everything = `{"ServiceName":"shop",
	"SourceConfiguration":{"AutoDeploymentsEnabled":true,
		"AuthenticationConfiguration":{"AccessRoleArn":"arn:aws:iam::000000000000:role/pull"},
		"ImageRepository":{"ImageIdentifier":"app:1","ImageRepositoryType":"ECR","ImageConfiguration":{"Port":"80","StartCommand":"run",
			"RuntimeEnvironmentVariables":{"A":"1","B":"2"},"RuntimeEnvironmentSecrets":{"S":"x"}}}},
	"InstanceConfiguration":{"Cpu":"1024","Memory":"3072","InstanceRoleArn":"arn:aws:iam::000000000000:role/run"},
	"HealthCheckConfiguration":{"Protocol":"HTTP","Path":"/up","Interval":6,"Timeout":3,"HealthyThreshold":2,"UnhealthyThreshold":4},
	"NetworkConfiguration":{"IngressConfiguration":{"IsPubliclyAccessible":false},"IpAddressType":"DUAL_STACK"},
	"ObservabilityConfiguration":{"ObservabilityEnabled":true},
	"EncryptionConfiguration":{"KmsKey":"arn:aws:kms:us-east-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef"}}`

// Each update of that service names what it changes; all else must stay.
func TestUpdateMerges(t *testing.T) {
	t.Parallel()
	source := func(members string) string {
		return `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"app:2","ImageRepositoryType":"ECR"` + members + `}}`
	}
	const (
		repo = "SourceConfiguration.ImageRepository."
		conf = repo + "ImageConfiguration."
		gone = "<absent>"
	)
	for name, c := range map[string]struct {
		members string
		changes map[string]string // path to the new value in JSON
	}{
		"nothing":          {``, nil},
		"memory":           {`"InstanceConfiguration":{"Memory":"4 GB"}`, map[string]string{"InstanceConfiguration.Memory": `"4096"`}},
		"both sizes":       {`"InstanceConfiguration":{"Cpu":"2 vCPU","Memory":"6144"}`, map[string]string{"InstanceConfiguration.Cpu": `"2048"`, "InstanceConfiguration.Memory": `"6144"`}},
		"image":            {source(``), map[string]string{repo + "ImageIdentifier": `"app:2"`}},
		"port":             {source(`,"ImageConfiguration":{"Port":"81"}`), map[string]string{repo + "ImageIdentifier": `"app:2"`, conf + "Port": `"81"`}},
		"start command":    {source(`,"ImageConfiguration":{"StartCommand":"go"}`), map[string]string{repo + "ImageIdentifier": `"app:2"`, conf + "StartCommand": `"go"`}},
		"variables":        {source(`,"ImageConfiguration":{"RuntimeEnvironmentVariables":{"B":"3"}}`), map[string]string{repo + "ImageIdentifier": `"app:2"`, conf + "RuntimeEnvironmentVariables": `{"B":"3"}`}},
		"no variables":     {source(`,"ImageConfiguration":{"RuntimeEnvironmentVariables":{}}`), map[string]string{repo + "ImageIdentifier": `"app:2"`, conf + "RuntimeEnvironmentVariables": gone}},
		"no secrets":       {source(`,"ImageConfiguration":{"RuntimeEnvironmentSecrets":{}}`), map[string]string{repo + "ImageIdentifier": `"app:2"`, conf + "RuntimeEnvironmentSecrets": gone}},
		"automatic":        {`"SourceConfiguration":{"AutoDeploymentsEnabled":false}`, map[string]string{"SourceConfiguration.AutoDeploymentsEnabled": `false`}},
		"access role":      {`"SourceConfiguration":{"AuthenticationConfiguration":{"AccessRoleArn":"arn:aws:iam::000000000000:role/other"}}`, map[string]string{"SourceConfiguration.AuthenticationConfiguration.AccessRoleArn": `"arn:aws:iam::000000000000:role/other"`}},
		"empty role":       {`"SourceConfiguration":{"AuthenticationConfiguration":{}}`, nil},
		"public image":     {`"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"app:1","ImageRepositoryType":"ECR_PUBLIC"}}`, map[string]string{repo + "ImageRepositoryType": `"ECR_PUBLIC"`, "SourceConfiguration.AuthenticationConfiguration": gone}},
		"health path":      {`"HealthCheckConfiguration":{"Path":"/ok"}`, map[string]string{"HealthCheckConfiguration.Path": `"/ok"`}},
		"health numbers":   {`"HealthCheckConfiguration":{"Timeout":10,"UnhealthyThreshold":20}`, map[string]string{"HealthCheckConfiguration.Timeout": `10`, "HealthCheckConfiguration.UnhealthyThreshold": `20`}},
		"health protocol":  {`"HealthCheckConfiguration":{"Protocol":"TCP"}`, map[string]string{"HealthCheckConfiguration.Protocol": `"TCP"`}},
		"public service":   {`"NetworkConfiguration":{"IngressConfiguration":{"IsPubliclyAccessible":true}}`, map[string]string{"NetworkConfiguration.IngressConfiguration.IsPubliclyAccessible": `true`}},
		"address type":     {`"NetworkConfiguration":{"IpAddressType":"IPV4","EgressConfiguration":{"EgressType":"DEFAULT"}}`, map[string]string{"NetworkConfiguration.IpAddressType": `"IPV4"`}},
		"no observability": {`"ObservabilityConfiguration":{"ObservabilityEnabled":false}`, map[string]string{"ObservabilityConfiguration": `{"ObservabilityEnabled":false}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			arn := at(t, b.ok("CreateService", everything), "Service", "ServiceArn").(string)
			b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
			want := at(t, b.ok("DescribeService", arnBody(arn)), "Service").(map[string]any)
			for path, value := range c.changes {
				parts := strings.Split(path, ".")
				parent := want
				if len(parts) > 1 {
					parent = at(t, want, parts[:len(parts)-1]...).(map[string]any)
				}
				if last := parts[len(parts)-1]; value == gone {
					delete(parent, last)
				} else {
					parent[last] = parse(t, `{"v":`+value+`}`)["v"]
				}
			}
			want["Status"] = "OPERATION_IN_PROGRESS"
			var members []string
			if c.members != "" {
				members = []string{c.members}
			}
			doc := b.ok("UpdateService", arnBody(arn, members...))
			if len(doc["OperationId"].(string)) != 32 {
				t.Errorf("OperationId is %v", doc["OperationId"])
			}
			ignoreURL := cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.GoString(), `["ServiceUrl"]`) }, cmp.Ignore())
			if d := cmp.Diff(any(want), doc["Service"], ignoreURL); d != "" {
				t.Errorf("the reply shows other values (-want +got):\n%s", d)
			}
			b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
			want["Status"] = "RUNNING"
			if d := cmp.Diff(any(want), b.ok("DescribeService", arnBody(arn))["Service"], ignoreURL); d != "" {
				t.Errorf("afterwards the service shows other values (-want +got):\n%s", d)
			}
		})
	}
}

func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop", `"InstanceConfiguration":{"Cpu":"4096","Memory":"8192"}`)
	before := b.ok("DescribeService", arnBody(arn))
	for members, message := range map[string]string{
		`"SourceConfiguration":{"CodeRepository":{"RepositoryUrl":"u","SourceCodeVersion":{"Type":"BRANCH","Value":"main"}}}`: "can't change from an image to a code repository",
		`"InstanceConfiguration":{"Memory":"2048"}`:                                                                  "Memory 2048 is not available with Cpu 4096; with it Memory can be 8192, 10240, 12288.",
		`"InstanceConfiguration":{"Cpu":"256"}`:                                                                      "Memory 8192 is not available with Cpu 256",
		`"AutoScalingConfigurationArn":"` + prefix + `autoscalingconfiguration/none/1"`:                              "Auto scaling configuration not found",
		`"HealthCheckConfiguration":{"Interval":0}`:                                                                  "'healthCheckConfiguration.interval' failed to satisfy constraint: Member must have value greater than or equal to 1",
		`"SourceConfiguration":{"ImageRepository":{"ImageConfiguration":{"Port":"80"}}}`:                             "'sourceConfiguration.imageRepository.imageIdentifier' failed to satisfy constraint: Member must not be null",
		`"SourceConfiguration":{"AuthenticationConfiguration":{"AccessRoleArn":"arn:aws:iam::000000000000:role/x"}}`: "can't be used with ImageRepositoryType ECR_PUBLIC",
	} {
		b.refused("UpdateService", arnBody(arn, members), "InvalidRequestException", message)
	}
	b.refused("UpdateService", arnBody(noService), "ResourceNotFoundException", "Service not found")
	if d := cmp.Diff(before, b.ok("DescribeService", arnBody(arn))); d != "" {
		t.Errorf("refused updates changed the service (-before +after):\n%s", d)
	}
}

// While an update is live its values show; when it fails, the old ones do.
func TestFailedUpdateShowsTheOldValues(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.ok("UpdateService", arnBody(arn, `"InstanceConfiguration":{"Memory":"4096"}`))
	if m := at(t, b.ok("DescribeService", arnBody(arn)), "Service", "InstanceConfiguration", "Memory"); m != "4096" {
		t.Errorf("Memory is %s during the update", m)
	}
	b.end(arn, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	if m := at(t, b.ok("DescribeService", arnBody(arn)), "Service", "InstanceConfiguration", "Memory"); m != "2048" {
		t.Errorf("Memory is %s after the update failed", m)
	}
}
