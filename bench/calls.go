package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

const (
	callers      = 16               // concurrent callers of the measurements at full speed
	fullSpeedFor = 5 * time.Second  // duration of a measurement at full speed
	steady       = 1000             // calls a second at the steady rate
	steadyFor    = 10 * time.Second // duration of the measurement at the steady rate
)

// measurement is the measurement of one kind of call.
type measurement struct {
	what string
	took []time.Duration // of each call
	span time.Duration   // of all calls together
}

func (v measurement) perSecond() float64 { return float64(len(v.took)) / v.span.Seconds() }

// measureCalls makes API calls to a server with many services. Their images are
// missing, so they have no instances: that does not matter to a call.
func measureCalls(ctx context.Context, l *lab, r *report) error {
	s, err := newServer(ctx, l, "calls", "--quota", "autoscaling-names=-1,autoscaling-revisions=-1")
	if err != nil {
		return err
	}
	return errors.Join(calls(ctx, s, l, r), s.stop(), os.RemoveAll(s.dir))
}

func calls(ctx context.Context, s *server, l *lab, r *report) error {
	arns, err := s.createKnown(ctx, l.known)
	if err != nil {
		return err
	}
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	var n atomic.Int64
	describe := func(ctx context.Context) error {
		arn := arns[int(n.Add(1))*7919%len(arns)]
		return c.call(ctx, "DescribeService", map[string]any{"ServiceArn": arn})
	}
	// The steady rate is measured first, so that garbage and an unfinished
	// checkpoint of the database's log from the full-speed measurements do not
	// disturb it.
	if err := idle(ctx, fullSpeedFor); err != nil {
		return err
	}
	if r.steady, err = atSteadyRate(ctx, describe); err != nil {
		return err
	}
	for _, v := range []struct {
		what string
		call func(context.Context) error
	}{
		{"GET /healthz, which does nothing, to compare with", c.health},
		{"DescribeService", describe},
		{"ListServices, a page of 20", func(ctx context.Context) error {
			return c.call(ctx, "ListServices", map[string]any{"MaxResults": 20})
		}},
		{"ListServices, all at once", func(ctx context.Context) error { return c.call(ctx, "ListServices", map[string]any{}) }},
		{"CreateAutoScalingConfiguration", func(ctx context.Context) error {
			return c.call(ctx, "CreateAutoScalingConfiguration", map[string]any{"AutoScalingConfigurationName": fmt.Sprintf("bench-%d", n.Add(1))})
		}},
	} {
		took, err := atFullSpeed(ctx, v.call)
		if err != nil {
			return fmt.Errorf("%s: %w", v.what, err)
		}
		took.what = v.what
		r.calls = append(r.calls, took)
	}
	r.callsMemory, err = status(s.cmd.Process.Pid, "VmRSS")
	return err
}

// createKnown creates n services whose creation fails, and returns their ARNs.
func (s *server) createKnown(ctx context.Context, n int) ([]string, error) {
	arns := make([]string, n)
	err := together(n, 8, func(i int) error {
		v, op, err := s.createOf(ctx, fmt.Sprintf("known-%d", i), "000000000000.dkr.ecr.us-east-1.amazonaws.com/missing:1", "")
		if err != nil {
			return err
		}
		arns[i] = v.arn
		return poll(ctx, 20*time.Millisecond, func() (bool, error) {
			out, err := s.ListOperations(ctx, &apprunner.ListOperationsInput{ServiceArn: &v.arn})
			if err != nil || len(out.OperationSummaryList) != 1 {
				return true, errors.Join(err, errors.New("the creation is not listed"))
			}
			if out.OperationSummaryList[0].Status != types.OperationStatusFailed {
				return false, fmt.Errorf("operation %s has not failed", op)
			}
			return true, nil
		})
	})
	return arns, err
}

// atFullSpeed makes as many calls as it can for the duration of a volley.
func atFullSpeed(ctx context.Context, call func(context.Context) error) (measurement, error) {
	if err := call(ctx); err != nil { // warm up
		return measurement{}, err
	}
	all, errs := make([][]time.Duration, callers), make([]error, callers)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for time.Since(began) < fullSpeedFor && errs[i] == nil {
				from := time.Now()
				errs[i] = call(ctx)
				all[i] = append(all[i], time.Since(from))
			}
		})
	}
	wg.Wait()
	return measurement{took: slices.Concat(all...), span: time.Since(began)}, errors.Join(errs...)
}

// atSteadyRate makes calls at a steady rate, whether or not earlier ones have returned:
// a call's time begins when it was due.
func atSteadyRate(ctx context.Context, call func(context.Context) error) (measurement, error) {
	n := int(steadyFor.Seconds() * steady)
	took, errs := make([]time.Duration, n), make([]error, n)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(i) * time.Second / steady)
		time.Sleep(time.Until(due))
		wg.Go(func() {
			errs[i] = call(ctx)
			took[i] = time.Since(due)
		})
	}
	wg.Wait()
	return measurement{took: took, span: time.Since(began)}, errors.Join(errs...)
}

// caller makes calls with less work than an SDK, which would compete with the
// server for the machine.
type caller struct {
	api    string
	client *http.Client
	signer *v4.Signer
	keys   aws.Credentials
}

func (s *server) caller(ctx context.Context) (*caller, error) {
	keys, err := s.Options().Credentials.Retrieve(ctx)
	return &caller{
		api: s.ready.API, signer: v4.NewSigner(), keys: keys,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
	}, err
}

func (c *caller) call(ctx context.Context, operation string, in any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AppRunner."+operation)
	hash := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, c.keys, req, hex.EncodeToString(hash[:]), "apprunner", "us-east-1", time.Now()); err != nil {
		return err
	}
	return c.send(req)
}

func (c *caller) health(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+"/healthz", nil)
	if err != nil {
		return err
	}
	return c.send(req)
}

func (c *caller) send(req *http.Request) error {
	r, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
		return fmt.Errorf("%s: %s", r.Status, text)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}
