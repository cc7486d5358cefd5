package soak

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/e2e/harness"
)

// do makes the calls of an action. It returns the operation that they have begun, or the code
// of the exception. err is any other failure.
func (v *service) do(a action, greeting int) (id, code string, err error) {
	switch a {
	case create:
		id, err = v.create(greeting)
	case update, updateCPU, updateHealth, updateScale, updateBad:
		id, err = v.update(a, greeting)
	case deploy, pause, resume, remove:
		id, err = v.change(a)
	case push:
		err = v.push(v.book.kept.image + 1)
	case put:
		err = v.put(v.book.kept.secret + 1)
	case tag:
		_, err = v.client.TagResource(v.ctx, &apprunner.TagResourceInput{ResourceArn: &v.life.arn, Tags: []types.Tag{
			{Key: aws.String("mark"), Value: aws.String(strconv.Itoa(v.book.mark + 1))},
		}})
	case untag:
		_, err = v.client.UntagResource(v.ctx, &apprunner.UntagResourceInput{ResourceArn: &v.life.arn, TagKeys: []string{"mark"}})
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() != "InternalServiceErrorException" {
		return "", api.ErrorCode(), nil
	}
	return id, "", err
}

// apply brings the book up to date after an action that begins no operation.
func (v *service) apply(a action) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch a {
	case push:
		v.book.kept.image++
	case put:
		v.book.kept.secret++
	case tag:
		v.book.mark++
	case untag:
		v.book.mark = 0
	}
}

// instance is what a service's instances have, of which there are two sizes.
func (v *service) instance(memory string) *types.InstanceConfiguration {
	in := &types.InstanceConfiguration{Cpu: aws.String("256"), Memory: &memory}
	if v.secret { // secrets require a role
		in.InstanceRoleArn = aws.String("arn:aws:iam::000000000000:role/web")
	}
	return in
}

// health is the check of the applications. Its limits are so generous that a loaded machine
// does not make an instance unhealthy.
func health(interval int32) *types.HealthCheckConfiguration {
	return &types.HealthCheckConfiguration{
		Protocol: types.HealthCheckProtocolHttp, Path: aws.String("/healthz"),
		Interval: &interval, Timeout: aws.Int32(20), HealthyThreshold: aws.Int32(1), UnhealthyThreshold: aws.Int32(10),
	}
}

func (v *service) create(greeting int) (id string, err error) {
	in := &apprunner.CreateServiceInput{
		ServiceName: &v.name, SourceConfiguration: v.spec(greeting).Source(),
		InstanceConfiguration: v.instance("512"), HealthCheckConfiguration: health(1),
	}
	if v.scales != "" {
		in.AutoScalingConfigurationArn = &v.scales
	}
	for i := 0; i+1 < len(v.settings); i += 2 {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String("slipway:" + v.settings[i]), Value: &v.settings[i+1]})
	}
	out, err := v.client.CreateService(v.ctx, in)
	if err != nil {
		return "", err
	}
	v.born(*out.Service.ServiceArn, *out.Service.ServiceUrl, greeting)
	return *out.OperationId, nil
}

func (v *service) update(a action, greeting int) (id string, err error) {
	in := &apprunner.UpdateServiceInput{ServiceArn: &v.life.arn}
	switch a {
	case update:
		in.SourceConfiguration = v.spec(greeting).Source()
	case updateBad:
		p := v.spec(greeting)
		p.Env["MODE"] = "exit"
		in.SourceConfiguration = p.Source()
	case updateCPU:
		in.InstanceConfiguration = v.instance([]string{"512", "1024"}[v.random.IntN(2)])
	case updateHealth:
		in.HealthCheckConfiguration = health(1 + v.random.Int32N(5))
	case updateScale:
		in.AutoScalingConfigurationArn = &v.scales
	}
	out, err := v.client.UpdateService(v.ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.OperationId), nil
}

// change makes the calls that name only a service, at times by the command line.
func (v *service) change(a action) (id string, err error) {
	if verb := map[action]string{deploy: "deploy", pause: "pause", resume: "resume"}[a]; verb != "" && v.random.IntN(6) == 0 {
		if _, begins := v.book.expects(a); begins && v.newest() != "" && v.resting() {
			return v.command(a, verb)
		}
	}
	var operation *string
	switch a {
	case deploy:
		var out *apprunner.StartDeploymentOutput
		if out, err = v.client.StartDeployment(v.ctx, &apprunner.StartDeploymentInput{ServiceArn: &v.life.arn}); err == nil {
			operation = out.OperationId
		}
	case pause:
		var out *apprunner.PauseServiceOutput
		if out, err = v.client.PauseService(v.ctx, &apprunner.PauseServiceInput{ServiceArn: &v.life.arn}); err == nil {
			operation = out.OperationId
		}
	case resume:
		var out *apprunner.ResumeServiceOutput
		if out, err = v.client.ResumeService(v.ctx, &apprunner.ResumeServiceInput{ServiceArn: &v.life.arn}); err == nil {
			operation = out.OperationId
		}
	default:
		var out *apprunner.DeleteServiceOutput
		if out, err = v.client.DeleteService(v.ctx, &apprunner.DeleteServiceInput{ServiceArn: &v.life.arn}); err == nil {
			operation = out.OperationId
		}
	}
	return aws.ToString(operation), err
}

// resting reports whether the newest operation is one that the book has.
func (v *service) resting() bool {
	list, err := v.operations(1)
	return err == nil && len(list) == 1 && *list[0].Id == v.newest()
}

// command makes a change by the command line, which waits until it has ended.
func (v *service) command(a action, verb string) (id string, err error) {
	text, err := v.slipway(verb, v.name)
	v.count("command "+verb, map[bool]string{true: "ok", false: "failed"}[err == nil])
	if id := v.found(a, 0); id != "" { // how it ended is seen there
		return id, nil
	}
	return "", fmt.Errorf("slipway %s has begun nothing: %w\n%s", verb, orNil(err), text)
}

// push pushes a revision of the service's image.
func (v *service) push(revision int) error {
	img := harness.WebImage(v.T, strconv.Itoa(revision))
	ref, err := name.NewTag(v.registry+"/"+v.name+":live", name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, remote.WithContext(v.ctx), remote.WithTransport(v.HTTPClient.Transport),
		remote.WithAuth(&authn.Basic{Username: v.keys.AccessKeyID, Password: v.keys.SecretAccessKey}))
}

// put sets a revision of the value of the service's secret.
func (v *service) put(revision int) error {
	_, err := v.parameters.PutParameter(v.ctx, &ssm.PutParameterInput{
		Name: aws.String(v.parameter()), Value: aws.String(secretOf(revision)), Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	return err
}

func secretOf(revision int) string { return fmt.Sprintf("value-%d", revision) }
