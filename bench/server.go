package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// patience bounds every wait of a measurement.
const patience = 2 * time.Minute

const image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:latest"

// server is a `slipway serve` on a data directory of its own.
type server struct {
	bin, dir string
	flags    []string
	core     string // that it and what it starts run on; "" for all
	cmd      *exec.Cmd
	log      bytes.Buffer
	ready    struct{ API, HTTP, Credentials string }
	*apprunner.Client
}

// newServer starts a server and imports the image.
func newServer(ctx context.Context, l *lab, name string, flags ...string) (*server, error) {
	s := &server{bin: l.slipway, dir: filepath.Join(l.dir, name), flags: flags, core: l.core}
	if _, err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.importImage(ctx, l.layout, "app:latest"); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// start starts the process and returns the time until all listeners served.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return 0, err
	}
	file := filepath.Join(s.dir, "ready.json")
	os.Remove(file)
	args := append([]string{
		s.bin, "serve", "--data-dir", s.dir, "--ready-file", file,
		"--api-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--log-level", "warn", "--quota", "services=100000",
	}, s.flags...)
	if s.core != "" {
		args = append([]string{"taskset", "-c", s.core}, args...) // replaces itself by the program
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	var took time.Duration
	err := poll(ctx, time.Millisecond, func() (bool, error) {
		b, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		took = time.Since(began)
		return true, json.Unmarshal(b, &s.ready)
	})
	if err != nil {
		return 0, fmt.Errorf("start the server: %w\n%s", err, s.log.String())
	}
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithSharedCredentialsFiles([]string{s.ready.Credentials}), config.WithSharedConfigFiles([]string{}),
		config.WithRegion("us-east-1"), config.WithBaseEndpoint(s.ready.API))
	if err != nil {
		return 0, err
	}
	s.Client = apprunner.NewFromConfig(cfg)
	return took, nil
}

// stop stops the process; instances keep running.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the server ended with %w\n%s", err, s.log.String())
	}
	return nil
}

// close deletes all services and stops the process.
func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		out, err := s.ListServices(ctx, &apprunner.ListServicesInput{})
		if err != nil {
			return false, err
		}
		for _, svc := range out.ServiceSummaryList {
			if svc.Status != types.ServiceStatusOperationInProgress {
				if _, err := s.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: svc.ServiceArn}); err != nil {
					return false, err
				}
			}
		}
		if n := len(out.ServiceSummaryList); n > 0 {
			return false, fmt.Errorf("%d services are left", n)
		}
		return true, nil
	})
	return errors.Join(err, s.stop(), os.RemoveAll(s.dir))
}

// service is a service with a client that opens a connection per request.
type service struct {
	s        *server
	arn, url string
}

// create starts the creation of a service and returns it and the operation.
func (s *server) create(ctx context.Context, name, scaling string) (*service, string, error) {
	return s.createOf(ctx, name, image, scaling)
}

func (s *server) createOf(ctx context.Context, name, image, scaling string) (*service, string, error) {
	in := &apprunner.CreateServiceInput{
		ServiceName: aws.String(name),
		SourceConfiguration: &types.SourceConfiguration{
			AutoDeploymentsEnabled: aws.Bool(false),
			ImageRepository: &types.ImageRepository{
				ImageIdentifier: aws.String(image), ImageRepositoryType: types.ImageRepositoryTypeEcr,
				ImageConfiguration: &types.ImageConfiguration{Port: aws.String("8080")},
			},
		},
		InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("2048")},
	}
	if scaling != "" {
		in.AutoScalingConfigurationArn = &scaling
	}
	out, err := s.CreateService(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("create %s: %w", name, err)
	}
	return &service{s: s, arn: *out.Service.ServiceArn, url: *out.Service.ServiceUrl}, *out.OperationId, nil
}

// running creates a service and waits until it is RUNNING.
func (s *server) running(ctx context.Context, name, scaling string) (*service, error) {
	v, op, err := s.create(ctx, name, scaling)
	if err != nil {
		return nil, err
	}
	return v, v.ended(ctx, op)
}

// ended waits until an operation has succeeded.
func (v *service) ended(ctx context.Context, id string) error {
	return poll(ctx, 5*time.Millisecond, func() (bool, error) {
		out, err := v.s.ListOperations(ctx, &apprunner.ListOperationsInput{ServiceArn: &v.arn, MaxResults: aws.Int32(1)})
		if err != nil {
			return false, err
		}
		for _, o := range out.OperationSummaryList {
			switch {
			case *o.Id != id:
			case o.Status == types.OperationStatusSucceeded:
				return true, nil
			case o.EndedAt != nil:
				return true, fmt.Errorf("operation %s ended %s", id, o.Status)
			}
		}
		return false, fmt.Errorf("operation %s has not ended", id)
	})
}

func (v *service) pause(ctx context.Context) error {
	out, err := v.s.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: &v.arn})
	if err != nil {
		return err
	}
	return v.ended(ctx, *out.OperationId)
}

// often is the polling interval when one service is watched; with many, polling
// would be the load that is measured.
const often, seldom = 200 * time.Microsecond, 5 * time.Millisecond

// resume resumes the service and returns the operation's id when the service
// answered 200.
func (v *service) resume(ctx context.Context, every time.Duration) (string, error) {
	out, err := v.s.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: &v.arn})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.OperationId), v.answers(ctx, every)
}

// answers returns when the service answered 200.
func (v *service) answers(ctx context.Context, every time.Duration) error {
	return poll(ctx, every, func() (bool, error) {
		_, err := v.get(ctx, "/")
		return err == nil, err
	})
}

var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (v *service) get(ctx context.Context, path string) (string, error) {
	return get(ctx, v.s.ready.HTTP+path, v.url)
}

// get returns the body of a 200.
func get(ctx context.Context, url, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	r, err := direct.Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, strings.TrimSpace(string(b)))
	}
	return string(b), err
}

// poll calls ask until it is done, and returns its error then, or the last
// error when patience ends.
func poll(ctx context.Context, every time.Duration, ask func() (done bool, err error)) error {
	deadline := time.Now().Add(patience)
	for {
		done, err := ask()
		if done {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("given up after %v: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(every):
		}
	}
}
