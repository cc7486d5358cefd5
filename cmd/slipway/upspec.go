package main

import (
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// desired is the service that `slipway up` is to create or update. Nil and empty
// members keep the service's values, or the server's defaults.
type desired struct {
	image     string // as ImageIdentifier
	imageType types.ImageRepositoryType
	code      *code // in place of an image

	repository *types.CodeRepository // that the code is kept in; nil for an upload

	port         *string
	startCommand *string
	set          map[string]string // environment variables
	secrets      map[string]string // references of variables
	unset        []string          // names of variables

	cpu, memory *string
	role        string // instance role, if the service needs one and has none
	healthPath  *string
	scaling     *string // ARN
}

// create returns the request that creates the service.
func (d desired) create(name string) *apprunner.CreateServiceInput {
	return &apprunner.CreateServiceInput{
		ServiceName:                 aws.String(name),
		SourceConfiguration:         d.source(nil),
		InstanceConfiguration:       d.instance(nil),
		HealthCheckConfiguration:    d.health(),
		AutoScalingConfigurationArn: d.scaling,
	}
}

// update returns the request that brings svc to the desired state, nil if it is
// there already.
func (d desired) update(svc *types.Service) *apprunner.UpdateServiceInput {
	in := &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn}
	same := true
	if source := d.source(svc.SourceConfiguration); !reflect.DeepEqual(deployed(source), deployed(svc.SourceConfiguration)) {
		in.SourceConfiguration, same = source, false
	}
	if i := d.instance(svc.InstanceConfiguration); i != nil && !sameInstance(i, svc.InstanceConfiguration) {
		in.InstanceConfiguration, same = i, false
	}
	if h := d.health(); h != nil && !sameHealth(h, svc.HealthCheckConfiguration) {
		in.HealthCheckConfiguration, same = h, false
	}
	if d.scaling != nil {
		in.AutoScalingConfigurationArn, same = d.scaling, false
	}
	if same {
		return nil
	}
	return in
}

// source returns old with the desired changes. A service that up creates has no
// automatic deployments: up and deploy start them.
func (d desired) source(old *types.SourceConfiguration) *types.SourceConfiguration {
	if d.code != nil {
		return d.sourceOfCode(old)
	}
	source := &types.SourceConfiguration{AutoDeploymentsEnabled: aws.Bool(false)}
	cfg := types.ImageConfiguration{}
	if old != nil {
		source.AutoDeploymentsEnabled = old.AutoDeploymentsEnabled
		source.AuthenticationConfiguration = old.AuthenticationConfiguration
		if old.ImageRepository != nil && old.ImageRepository.ImageConfiguration != nil {
			cfg = *old.ImageRepository.ImageConfiguration
		}
	}
	if d.port != nil {
		cfg.Port = d.port
	}
	if d.startCommand != nil {
		cfg.StartCommand = d.startCommand
	}
	if len(d.set) > 0 || len(d.unset) > 0 || len(d.secrets) > 0 {
		cfg.RuntimeEnvironmentVariables = d.merged(cfg.RuntimeEnvironmentVariables, d.set, d.secrets)
		cfg.RuntimeEnvironmentSecrets = d.merged(cfg.RuntimeEnvironmentSecrets, d.secrets, d.set)
	}
	source.ImageRepository = &types.ImageRepository{
		ImageIdentifier:     aws.String(d.image),
		ImageRepositoryType: d.imageType,
		ImageConfiguration:  &cfg,
	}
	return source
}

// merged returns old with the variables in set, and without those that are unset
// or that become the other kind (plain or secret).
func (d desired) merged(old, set, other map[string]string) map[string]string {
	if len(old) == 0 && len(set) == 0 {
		return old
	}
	env := map[string]string{}
	maps.Copy(env, old)
	for _, name := range d.unset {
		delete(env, name)
	}
	for name := range other {
		delete(env, name)
	}
	maps.Copy(env, set)
	return env
}

// instance returns the desired instance configuration, nil for no change. The role
// is set only on a service that has none.
func (d desired) instance(old *types.InstanceConfiguration) *types.InstanceConfiguration {
	in := &types.InstanceConfiguration{Cpu: d.cpu, Memory: d.memory}
	if d.role != "" && (old == nil || aws.ToString(old.InstanceRoleArn) == "") {
		in.InstanceRoleArn = &d.role
	}
	if *in == (types.InstanceConfiguration{}) {
		return nil
	}
	return in
}

func (d desired) health() *types.HealthCheckConfiguration {
	if d.healthPath == nil {
		return nil
	}
	return &types.HealthCheckConfiguration{Protocol: types.HealthCheckProtocolHttp, Path: d.healthPath}
}

// deployed returns the parts of a source that up can change, in a form that can
// be compared: nil and empty are equal.
func deployed(s *types.SourceConfiguration) any {
	type image struct {
		identifier, kind, port, start string
		env, secrets                  map[string]string
	}
	if s != nil && s.CodeRepository != nil {
		return deployedCode(s.CodeRepository)
	}
	if s == nil || s.ImageRepository == nil {
		return image{}
	}
	r := s.ImageRepository
	c := image{identifier: aws.ToString(r.ImageIdentifier), kind: string(r.ImageRepositoryType), env: map[string]string{}, secrets: map[string]string{}}
	if cfg := r.ImageConfiguration; cfg != nil {
		c.port, c.start = aws.ToString(cfg.Port), aws.ToString(cfg.StartCommand)
		maps.Copy(c.env, cfg.RuntimeEnvironmentVariables)
		maps.Copy(c.secrets, cfg.RuntimeEnvironmentSecrets)
	}
	return c
}

func sameInstance(want, have *types.InstanceConfiguration) bool {
	if have == nil {
		return false
	}
	return want.InstanceRoleArn == nil && (want.Cpu == nil || cpuForPeople(*want.Cpu) == cpuForPeople(aws.ToString(have.Cpu))) &&
		(want.Memory == nil || memoryForPeople(*want.Memory) == memoryForPeople(aws.ToString(have.Memory)))
}

func sameHealth(want, have *types.HealthCheckConfiguration) bool {
	return have != nil && have.Protocol == want.Protocol && aws.ToString(have.Path) == aws.ToString(want.Path)
}

// cpuValue converts "0.5", "1 vCPU" or "512" to the API's form. It passes on other
// text for the server to reject.
func cpuValue(s string) string { return quantity(s, "vCPU", 4) }

// memoryValue converts "2", "2GB" or "2048" to the API's form.
func memoryValue(s string) string { return quantity(s, "GB", 12) }

// quantity adds the unit to a bare number that is at most largest, and a space
// before a unit that has none.
func quantity(s, unit string, largest float64) string {
	s = strings.TrimSpace(s)
	number := s
	if i := len(s) - len(unit); i > 0 && strings.EqualFold(s[i:], unit) {
		number = strings.TrimSpace(s[:i])
	} else if n, err := strconv.ParseFloat(s, 64); err != nil || n > largest {
		return s
	}
	return number + " " + unit
}

// defaultServiceName derives a service's name from an image's: 4 to 40 allowed
// characters.
func defaultServiceName(image string) string {
	const shortest, longest = 4, 40
	image = image[strings.LastIndexByte(image, '/')+1:]
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, image)
	name = strings.TrimLeft(name, "-_")
	name = strings.TrimRight(name[:min(len(name), longest)], "-_")
	if name == "" {
		return "app-service"
	}
	if len(name) < shortest {
		name += "-app"
	}
	return name
}
