package soak

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
)

// slipway runs the command line.
func (s *soak) slipway(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(s.ctx, s.Binary, args...)
	cmd.Env = append(s.env, "NO_COLOR=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// others has clients do what concerns no single service: lists, the command line, and things
// that are made and deleted again.
func (s *soak) others(random *rand.Rand) {
	for n := 0; s.over.Err() == nil; n++ {
		s.quiet.RLock()
		from := time.Now()
		what, err := s.other(random, n)
		if err != nil && !s.disturbed(from, time.Now()) {
			s.count(what, "wrong")
			s.mu.Lock()
			s.failed = append(s.failed, fmt.Sprintf("%s: %v", what, err))
			s.mu.Unlock()
			s.T.Errorf("%s: %v", what, err)
		} else {
			s.count(what, map[bool]string{true: "ok", false: "disturbed"}[err == nil])
		}
		s.quiet.RUnlock()
		s.await(200 + random.IntN(2000))
	}
}

func (s *soak) other(random *rand.Rand, n int) (what string, err error) {
	switch random.IntN(6) {
	case 0:
		_, err = s.client.ListServices(s.ctx, &apprunner.ListServicesInput{MaxResults: aws.Int32(3)})
		return "call of lists", err
	case 1:
		text, err := s.slipway("ls")
		return "command ls", wrap(err, text)
	case 2:
		text, err := s.slipway("top")
		return "command top", wrap(err, text)
	case 3:
		out, err := s.client.CreateAutoScalingConfiguration(s.ctx, &apprunner.CreateAutoScalingConfigurationInput{
			AutoScalingConfigurationName: aws.String(fmt.Sprintf("other-%d", n)), MaxConcurrency: aws.Int32(7),
		})
		if err == nil {
			_, err = s.client.DeleteAutoScalingConfiguration(s.ctx, &apprunner.DeleteAutoScalingConfigurationInput{
				AutoScalingConfigurationArn: out.AutoScalingConfiguration.AutoScalingConfigurationArn,
			})
		}
		return "call of auto scaling configurations", err
	case 4:
		text, err := s.slipway("audit", "-n", "5")
		return "command audit", wrap(err, text)
	}
	_, err = s.client.ListAutoScalingConfigurations(s.ctx, &apprunner.ListAutoScalingConfigurationsInput{})
	return "call of lists", err
}

func wrap(err error, text string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n%s", err, text)
}
