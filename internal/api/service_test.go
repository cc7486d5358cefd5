package api_test

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
)

func parse(t testing.TB, text string) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}

// The reply to CreateService, whole, as App Runner is known to answer.
func TestCreateServiceReply(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	doc := b.ok("CreateService", `{"ServiceName":"shop",`+image+`}`)
	s := at(t, doc, "Service").(map[string]any)
	id, url := s["ServiceId"].(string), s["ServiceUrl"].(string)
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("ServiceId %q is not 32 hexadecimal digits", id)
	}
	if op := doc["OperationId"].(string); len(op) != 32 {
		t.Errorf("OperationId %q is not 32 hexadecimal digits", op)
	}
	label, rest, _ := strings.Cut(url, ".")
	if len(label) != 10 || rest != "us-east-1.slipway.localhost:8080" {
		t.Errorf("ServiceUrl %q", url)
	}
	want := parse(t, `{
		"ServiceName": "shop", "ServiceId": "`+id+`", "ServiceArn": "`+prefix+`service/shop/`+id+`", "ServiceUrl": "`+url+`",
		"CreatedAt": 1800000000.123, "UpdatedAt": 1800000000.123, "Status": "OPERATION_IN_PROGRESS",
		"SourceConfiguration": {"AutoDeploymentsEnabled": false, "ImageRepository": {
			"ImageIdentifier": "public.ecr.aws/nginx/nginx:latest", "ImageRepositoryType": "ECR_PUBLIC"}},
		"InstanceConfiguration": {"Cpu": "1024", "Memory": "2048"},
		"HealthCheckConfiguration": {"Protocol": "TCP", "Path": "/", "Interval": 5, "Timeout": 2, "HealthyThreshold": 1, "UnhealthyThreshold": 5},
		"AutoScalingConfigurationSummary": {"AutoScalingConfigurationArn": "`+defaultScaling+`",
			"AutoScalingConfigurationName": "DefaultConfiguration", "AutoScalingConfigurationRevision": 1},
		"NetworkConfiguration": {"EgressConfiguration": {"EgressType": "DEFAULT"}, "IngressConfiguration": {"IsPubliclyAccessible": true}, "IpAddressType": "IPV4"}}`)
	if d := cmp.Diff(want, s); d != "" {
		t.Errorf("the created service differs (-want +got):\n%s", d)
	}
	described := b.ok("DescribeService", arnBody(s["ServiceArn"].(string)))["Service"]
	if d := cmp.Diff(any(s), described); d != "" {
		t.Errorf("DescribeService differs (-created +described):\n%s", d)
	}
	delete(s, "SourceConfiguration")
	for _, m := range []string{"InstanceConfiguration", "HealthCheckConfiguration", "AutoScalingConfigurationSummary", "NetworkConfiguration"} {
		delete(s, m)
	}
	if d := cmp.Diff([]any{s}, b.ok("ListServices", "{}")["ServiceSummaryList"]); d != "" {
		t.Errorf("ListServices differs (-want +got):\n%s", d)
	}
}

// What a call says and what the service shows then.
func TestCreateServiceMembers(t *testing.T) {
	t.Parallel()
	source := func(members string) string {
		return `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"registry.example.com:5000/team/app:1.2@sha256:` + strings.Repeat("0", 64) + `","ImageRepositoryType":"ECR"}` + members + `}`
	}
	conf := func(members string) string {
		return `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"app","ImageRepositoryType":"ECR","ImageConfiguration":{` + members + `}}}`
	}
	const repository = "SourceConfiguration.ImageRepository.ImageConfiguration"
	for name, c := range map[string]struct{ members, path, want string }{
		"any registry":             {source(``), "SourceConfiguration.ImageRepository.ImageIdentifier", `"registry.example.com:5000/team/app:1.2@sha256:` + strings.Repeat("0", 64) + `"`},
		"automatic deployments":    {source(``), "SourceConfiguration.AutoDeploymentsEnabled", `true`},
		"no automatic deployments": {source(`,"AutoDeploymentsEnabled":false`), "SourceConfiguration.AutoDeploymentsEnabled", `false`},
		"own ECR":                  {`"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"000000000000.dkr.ecr.us-east-1.amazonaws.com/app:1","ImageRepositoryType":"ECR"}}`, "SourceConfiguration.AutoDeploymentsEnabled", `true`},
		"other account's ECR":      {`"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"111122223333.dkr.ecr.us-east-1.amazonaws.com/app:1","ImageRepositoryType":"ECR"}}`, "SourceConfiguration.AutoDeploymentsEnabled", `false`},
		"access role":              {source(`,"AuthenticationConfiguration":{"AccessRoleArn":"arn:aws:iam::000000000000:role/pull"}`), "SourceConfiguration.AuthenticationConfiguration", `{"AccessRoleArn":"arn:aws:iam::000000000000:role/pull"}`},
		"empty credentials":        {`"SourceConfiguration":{"AuthenticationConfiguration":{},"ImageRepository":{"ImageIdentifier":"app","ImageRepositoryType":"ECR_PUBLIC"}}`, "SourceConfiguration", `{"AutoDeploymentsEnabled":false,"ImageRepository":{"ImageIdentifier":"app","ImageRepositoryType":"ECR_PUBLIC"}}`},
		"image configuration": {
			conf(`"Port":"80","StartCommand":"serve --at '0.0.0.0:80'","RuntimeEnvironmentVariables":{"A":"1","B":""},"RuntimeEnvironmentSecrets":{"C":"arn:aws:ssm:us-east-1:000000000000:parameter/c"}`) + `,"InstanceConfiguration":{"InstanceRoleArn":"arn:aws:iam::000000000000:role/run"}`, repository,
			`{"Port":"80","StartCommand":"serve --at '0.0.0.0:80'","RuntimeEnvironmentVariables":{"A":"1","B":""},"RuntimeEnvironmentSecrets":{"C":"arn:aws:ssm:us-east-1:000000000000:parameter/c"}}`,
		},
		"no members":       {conf(``), repository, `{"Port":"8080"}`},
		"empty maps":       {conf(`"RuntimeEnvironmentVariables":{},"RuntimeEnvironmentSecrets":{}`), repository, `{"Port":"8080"}`},
		"sizes in words":   {image + `,"InstanceConfiguration":{"Cpu":"4 vCPU","Memory":"12 GB"}`, "InstanceConfiguration", `{"Cpu":"4096","Memory":"12288"}`},
		"mixed spellings":  {image + `,"InstanceConfiguration":{"Cpu":"256","Memory":"0.5 GB"}`, "InstanceConfiguration", `{"Cpu":"256","Memory":"512"}`},
		"memory alone":     {image + `,"InstanceConfiguration":{"Memory":"4 GB"}`, "InstanceConfiguration", `{"Cpu":"1024","Memory":"4096"}`},
		"role alone":       {image + `,"InstanceConfiguration":{"InstanceRoleArn":"arn:aws:iam::000000000000:role/run"}`, "InstanceConfiguration", `{"Cpu":"1024","Memory":"2048","InstanceRoleArn":"arn:aws:iam::000000000000:role/run"}`},
		"health check":     {image + `,"HealthCheckConfiguration":{"Protocol":"HTTP","Path":"/up?x=1","Timeout":10}`, "HealthCheckConfiguration", `{"Protocol":"HTTP","Path":"/up?x=1","Interval":5,"Timeout":10,"HealthyThreshold":1,"UnhealthyThreshold":5}`},
		"empty networks":   {image + `,"NetworkConfiguration":{}`, "NetworkConfiguration.IngressConfiguration", `{"IsPubliclyAccessible":true}`},
		"private, omitted": {image + `,"NetworkConfiguration":{"IngressConfiguration":{}}`, "NetworkConfiguration.IngressConfiguration", `{"IsPubliclyAccessible":false}`},
		"dual stack":       {image + `,"NetworkConfiguration":{"IpAddressType":"DUAL_STACK","EgressConfiguration":{}}`, "NetworkConfiguration", `{"EgressConfiguration":{"EgressType":"DEFAULT"},"IngressConfiguration":{"IsPubliclyAccessible":true},"IpAddressType":"DUAL_STACK"}`},
		"observability":    {image + `,"ObservabilityConfiguration":{"ObservabilityEnabled":true}`, "ObservabilityConfiguration", `{"ObservabilityEnabled":true,"ObservabilityConfigurationArn":"` + prefix + `observabilityconfiguration/DefaultConfiguration/1/00000000000000000000000000000001"}`},
		"not observed":     {image + `,"ObservabilityConfiguration":{"ObservabilityEnabled":false}`, "ObservabilityConfiguration", `{"ObservabilityEnabled":false}`},
		"key": {
			image + `,"EncryptionConfiguration":{"KmsKey":"arn:aws:kms:us-east-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef"}`, "EncryptionConfiguration",
			`{"KmsKey":"arn:aws:kms:us-east-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef"}`,
		},
		"scaling by name": {image + `,"AutoScalingConfigurationArn":"` + prefix + `autoscalingconfiguration/DefaultConfiguration"`, "AutoScalingConfigurationSummary.AutoScalingConfigurationArn", `"` + defaultScaling + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			doc := b.ok("CreateService", `{"ServiceName":"shop",`+c.members+`}`)
			for _, s := range []any{doc["Service"], b.ok("DescribeService", arnBody(at(t, doc, "Service", "ServiceArn").(string)))["Service"]} {
				got := at(t, s.(map[string]any), strings.Split(c.path, ".")...)
				if d := cmp.Diff(parse(t, `{"v":`+c.want+`}`)["v"], got); d != "" {
					t.Errorf("%s (-want +got):\n%s", c.path, d)
				}
			}
		})
	}
}

func TestCreateServiceRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conf := func(members string) string {
		return `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"app","ImageRepositoryType":"ECR","ImageConfiguration":{` + members + `}}}`
	}
	const code = `"CodeRepository":{"RepositoryUrl":"https://github.com/a/b","SourceCodeVersion":{"Type":"BRANCH","Value":"main"}}`
	for members, message := range map[string]string{
		`"SourceConfiguration":{}`:                             "exactly one of CodeRepository and ImageRepository",
		`"SourceConfiguration":{` + code + `}`:                 "AuthenticationConfiguration: a CodeRepository requires a ConnectionArn.",
		conf(`"Port":"0"`):                                     `Port "0" is not a number from 1 to 65535`,
		conf(`"Port":"65536"`):                                 `Port "65536" is not a number from 1 to 65535`,
		conf(`"Port":""`):                                      `Port "" is not a number from 1 to 65535`,
		conf(`"Port":"+80"`):                                   `Port "+80" is not a number`,
		conf(`"StartCommand":"run 'hush"`):                     "StartCommand can't be split into words",
		conf(`"StartCommand":""`):                              "startCommand' failed to satisfy constraint: Member must satisfy regular expression pattern",
		conf(`"RuntimeEnvironmentVariables":{"PORT":"1"}`):     `RuntimeEnvironmentVariables: "PORT" is reserved`,
		conf(`"RuntimeEnvironmentSecrets":{"PORT":"x"}`):       `RuntimeEnvironmentSecrets: "PORT" is reserved`,
		conf(`"RuntimeEnvironmentSecrets":{"A":"not a name"}`): `RuntimeEnvironmentSecrets: the value of "A" is no reference. It must be the ARN of a Secrets Manager secret`,
		conf(`"RuntimeEnvironmentSecrets":{"A":"/prod/a"}`):    "Instance Role have to be provided if passing in RuntimeEnvironmentSecrets.",
		conf(`"RuntimeEnvironmentVariables":{"A=B":"1"}`):      "has an = or a NUL",
		conf(`"RuntimeEnvironmentVariables":{"A":"\u0000"}`):   "has a value with a NUL",
		conf(`"RuntimeEnvironmentVariables":{"A":"1"},"RuntimeEnvironmentSecrets":{"A":"1"}`):                                                                                                       `"A" is in both`,
		`"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"Not An Image","ImageRepositoryType":"ECR"}}`:                                                                                  `ImageIdentifier "Not An Image" is not an image reference`,
		`"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"app","ImageRepositoryType":"DOCKER"}}`:                                                                                        "enum value set: [ECR, ECR_PUBLIC]",
		`"SourceConfiguration":{"AuthenticationConfiguration":{"AccessRoleArn":"arn:aws:iam::000000000000:role/x"},"ImageRepository":{"ImageIdentifier":"app","ImageRepositoryType":"ECR_PUBLIC"}}`: "AccessRoleArn can't be used with ImageRepositoryType ECR_PUBLIC",
		`"SourceConfiguration":{"AuthenticationConfiguration":{"ConnectionArn":"` + prefix + `connection/x/1"},"ImageRepository":{"ImageIdentifier":"app","ImageRepositoryType":"ECR"}}`:            "ConnectionArn is for code repositories",
		image + `,"InstanceConfiguration":{"Cpu":"1024","Memory":"512"}`:                                                                                                                            "Memory 512 is not available with Cpu 1024; with it Memory can be 2048, 3072, 4096.",
		image + `,"InstanceConfiguration":{"Cpu":"256"}`:                                                                                                                                            "Memory 2048 is not available with Cpu 256; with it Memory can be 512, 1024.",
		image + `,"InstanceConfiguration":{"Cpu":"0x25 vCPU"}`:                                                                                                                                      `Cpu "0x25 vCPU" is none of 256, 512, 1024, 2048, 4096.`,
		image + `,"HealthCheckConfiguration":{"Path":"up"}`:                                                                                                                                         `Path "up" must begin with /`,
		image + `,"HealthCheckConfiguration":{"Path":"/ HTTP/1.1\r\nX: y"}`:                                                                                                                         "must begin with / and have no blanks",
		image + `,"AutoScalingConfigurationArn":"` + prefix + `autoscalingconfiguration/none"`:                                                                                                      "Auto scaling configuration not found: " + prefix + "autoscalingconfiguration/none",
		image + `,"AutoScalingConfigurationArn":"` + prefix + `service/x/1"`:                                                                                                                        "is not the ARN of an auto scaling configuration",
		image + `,"NetworkConfiguration":{"EgressConfiguration":{"EgressType":"VPC"}}`:                                                                                                              "EgressType VPC requires a VpcConnectorArn",
		image + `,"NetworkConfiguration":{"EgressConfiguration":{"VpcConnectorArn":"` + prefix + `vpcconnector/x"}}`:                                                                                "VpcConnectorArn requires EgressType VPC",
		image + `,"NetworkConfiguration":{"EgressConfiguration":{"EgressType":"VPC","VpcConnectorArn":"` + prefix + `vpcconnector/x"}}`:                                                             prefix + "vpcconnector/x is not the full ARN of a VPC connector",
		image + `,"ObservabilityConfiguration":{"ObservabilityEnabled":false,"ObservabilityConfigurationArn":"` + prefix + `observabilityconfiguration/x"}`:                                         "requires ObservabilityEnabled true",
		image + `,"ObservabilityConfiguration":{"ObservabilityEnabled":true,"ObservabilityConfigurationArn":"` + prefix + `observabilityconfiguration/x"}`:                                          "Observability configuration not found: " + prefix + "observabilityconfiguration/x",
		image + `,"Tags":[{"Key":"a"},{"Key":"a"}]`:                                                                                                                                                 `Tags: the key "a" is given twice`,
		image + `,"Tags":[{"Value":"a"}]`:         "Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null",
		image + `,"Tags":[{"Key":"slipway:min"}]`: `"slipway:min" is no setting that this server knows for the resource type service`,
		image + `,"Tags":[{"Key":"aws:x"}]`:       "'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(?!aws:).+",
	} {
		b.refused("CreateService", `{"ServiceName":"shop",`+members+`}`, "InvalidRequestException", message)
	}
	if strings.Contains(b.Logged.String(), "hush") {
		t.Error("the log repeats a start command")
	}
	if l := b.ok("ListServices", "{}")["ServiceSummaryList"].([]any); len(l) != 0 {
		t.Errorf("refused calls left services behind: %v", l)
	}
}

func TestServiceURL(t *testing.T) {
	t.Parallel()
	for port, suffix := range map[int]string{0: "", 80: "", 443: "", 8443: ":8443"} {
		b := newBench(t, func(c *api.Config) { c.URLPort, c.Domain = port, "apps.example.com" })
		url := at(t, b.ok("CreateService", `{"ServiceName":"shop",`+image+`}`), "Service", "ServiceUrl").(string)
		if want := url[:10] + ".us-east-1.apps.example.com" + suffix; url != want {
			t.Errorf("port %d: ServiceUrl %q, want %q", port, url, want)
		}
	}
	b := newBench(t)
	arn := b.create("shop", `"NetworkConfiguration":{"IngressConfiguration":{"IsPubliclyAccessible":false}}`)
	if url, ok := at(t, b.ok("DescribeService", arnBody(arn)), "Service").(map[string]any)["ServiceUrl"]; ok {
		t.Errorf("a private service has the URL %v", url)
	}
	if host := b.ok("DescribeCustomDomains", arnBody(arn))["DNSTarget"].(string); !strings.HasSuffix(host, ".us-east-1.slipway.localhost") {
		t.Errorf("DNSTarget %q", host)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := `{"ServiceName":"shop",` + image + `}`
	arn := b.create("shop")
	b.refused("CreateService", body, "InvalidRequestException", "Service with the provided name already exists: shop")
	// A failed creation keeps the name until it is deleted.
	failed := at(t, b.ok("CreateService", `{"ServiceName":"cart",`+image+`}`), "Service", "ServiceArn").(string)
	b.end(failed, slipway.OperationFailed, slipway.StatusCreateFailed)
	b.refused("CreateService", `{"ServiceName":"cart",`+image+`}`, "InvalidRequestException", "already exists: cart")
	b.ok("DeleteService", arnBody(arn))
	b.refused("CreateService", body, "InvalidRequestException", "already exists: shop")
	b.end(arn, slipway.OperationSucceeded, slipway.StatusDeleted)
	if again := b.create("shop"); again == arn {
		t.Error("the new service has the deleted one's ARN")
	}
}

func TestNamesUnderRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var wg sync.WaitGroup
	replies := make([]gatewaytest.Reply, 16)
	for i := range replies {
		r := b.Request("AppRunner.CreateService", `{"ServiceName":"shop",`+image+`}`)
		wg.Go(func() { replies[i] = b.Send(r) })
	}
	wg.Wait()
	made := 0
	for _, r := range replies {
		if r.Code == 200 {
			made++
		} else if !strings.Contains(r.Body.String(), "already exists: shop") {
			t.Errorf("%d %s", r.Code, r.Body)
		}
	}
	if made != 1 {
		t.Errorf("%d services of one name were made", made)
	}
}

func TestServiceQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas.Services = 2 })
	b.create("one1")
	b.create("two2")
	w := b.call("CreateService", `{"ServiceName":"three",`+image+`}`)
	if w.Code != 402 || w.Doc["__type"] != "ServiceQuotaExceededException" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A repeated call hears of its name.
	b.refused("CreateService", `{"ServiceName":"two2",`+image+`}`, "InvalidRequestException", "already exists: two2")

	b = newBench(t, func(c *api.Config) { c.Quotas.Services = -1 })
	for i := range 40 {
		b.create(fmt.Sprintf("service-%d", i))
	}
}

func TestFindService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	short := prefix + "service/shop"
	if got := at(t, b.ok("DescribeService", arnBody(short)), "Service", "ServiceArn"); got != arn {
		t.Errorf("%s finds %s, want %s", short, got, arn)
	}
	id := path.Base(arn)
	for _, wrong := range []string{
		prefix + "service/cart/" + id,
		prefix + "service/cart",
		strings.Replace(arn, "us-east-1", "eu-west-1", 1),
		strings.Replace(arn, account, "111122223333", 1),
		strings.Replace(short, "us-east-1", "eu-west-1", 1),
		strings.Replace(short, account, "111122223333", 1),
	} {
		b.refused("DescribeService", arnBody(wrong), "ResourceNotFoundException", "Service not found: "+wrong)
	}
	b.refused("DescribeService", arnBody(arn+"/x"), "InvalidRequestException", "is not the ARN of a service")
	b.refused("DescribeService", arnBody(prefix+"service/"), "InvalidRequestException", "empty part")
}

// A deleted service stays describable, by its full ARN, and nothing else.
func TestDeletedService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.Clock.Advance(time.Minute)
	doc := b.ok("DeleteService", arnBody(arn))
	if st := at(t, doc, "Service", "Status"); st != "OPERATION_IN_PROGRESS" || len(doc["OperationId"].(string)) != 32 {
		t.Errorf("DeleteService answers %v", doc)
	}
	b.Clock.Advance(time.Second)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusDeleted)
	s := at(t, b.ok("DescribeService", arnBody(arn)), "Service").(map[string]any)
	if s["Status"] != "DELETED" || s["DeletedAt"] != 1800000061.123 || s["UpdatedAt"] != 1800000061.123 || s["CreatedAt"] != 1800000000.123 {
		t.Errorf("a deleted service shows as %v", s)
	}
	if l := b.ok("ListServices", "{}")["ServiceSummaryList"].([]any); len(l) != 0 {
		t.Errorf("ListServices lists a deleted service: %v", l)
	}
	if l := b.ok("ListOperations", arnBody(arn))["OperationSummaryList"].([]any); len(l) != 2 {
		t.Errorf("%d operations of a deleted service, want 2", len(l))
	}
	for _, op := range []string{"UpdateService", "PauseService", "ResumeService", "DeleteService", "StartDeployment"} {
		b.refused(op, arnBody(arn), "ResourceNotFoundException", "Service not found: "+arn)
	}
	for _, op := range []string{"ListTagsForResource", "TagResource", "UntagResource"} {
		b.refused(op, `{"ResourceArn":"`+arn+`","Tags":[],"TagKeys":[]}`, "ResourceNotFoundException", "Service not found: "+arn)
	}
	b.refused("DescribeService", arnBody(prefix+"service/shop"), "ResourceNotFoundException", "Service not found")
	b.Update(func(tx *store.Tx) error { _, err := tx.ForgetServices(b.Clock.Now().Add(time.Hour)); return err })
	b.refused("DescribeService", arnBody(arn), "ResourceNotFoundException", "Service not found: "+arn)
}
