package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
)

const (
	instances = 5
	hold      = 3 * time.Second // that a request keeps its instance busy
)

// measureScaleOut sends five requests at once to a service with one instance,
// whose instances take one request at a time: the last request waits until
// there are five instances.
func measureScaleOut(ctx context.Context, l *lab, r *report) error {
	s, err := newServer(ctx, l, "scale")
	if err != nil {
		return err
	}
	return errors.Join(scaleOut(ctx, s, l.rounds, r), s.close())
}

func scaleOut(ctx context.Context, s *server, rounds int, r *report) error {
	out, err := s.CreateAutoScalingConfiguration(ctx, &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String("five"), MaxConcurrency: aws.Int32(1), MinSize: aws.Int32(1), MaxSize: aws.Int32(instances),
	})
	if err != nil {
		return err
	}
	for round := range max(3, rounds/5) {
		v, err := s.running(ctx, fmt.Sprintf("scaled-%d", round), *out.AutoScalingConfiguration.AutoScalingConfigurationArn)
		if err != nil {
			return err
		}
		took, err := v.burst(ctx)
		if err != nil {
			return err
		}
		r.scaledOut = append(r.scaledOut, took)
		if err := v.pause(ctx); err != nil { // its instances must not disturb the next round
			return err
		}
	}
	return nil
}

// burst returns how long the last of the requests waited for its instance.
func (v *service) burst(ctx context.Context) (time.Duration, error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		errs   []error
		served = map[string]bool{}
		last   time.Duration
	)
	began := time.Now()
	for range instances {
		wg.Go(func() {
			body, err := v.get(ctx, fmt.Sprintf("/?ms=%d", hold.Milliseconds()))
			took := time.Since(began)
			var who struct{ Instance string }
			if err == nil {
				err = json.Unmarshal([]byte(body), &who)
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			served[who.Instance] = true
			last = max(last, took)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if len(served) != instances {
		return 0, fmt.Errorf("%d instances served %d requests that take %v each", len(served), instances, hold)
	}
	return last - hold, nil
}

// measureCrowd resumes many paused services at once.
func measureCrowd(ctx context.Context, l *lab, r *report) error {
	s, err := newServer(ctx, l, "crowd")
	if err != nil {
		return err
	}
	return errors.Join(crowd(ctx, s, l.crowd, r), s.close())
}

func crowd(ctx context.Context, s *server, n int, r *report) error {
	all, err := s.many(ctx, "crowd", n, true)
	if err != nil {
		return err
	}
	took := make([]time.Duration, n)
	began := time.Now()
	err = together(n, n, func(i int) error {
		_, err := all[i].resume(ctx, seldom)
		took[i] = time.Since(began)
		return err
	})
	r.crowd, r.crowded = took, time.Since(began)
	return err
}

// many creates n services, eight at a time, and pauses them if asked to.
func (s *server) many(ctx context.Context, prefix string, n int, paused bool) ([]*service, error) {
	all := make([]*service, n)
	err := together(n, 8, func(i int) (err error) {
		if all[i], err = s.running(ctx, fmt.Sprintf("%s-%d", prefix, i), ""); err != nil || !paused {
			return err
		}
		return all[i].pause(ctx)
	})
	return all, err
}

// together calls f for 0 to n-1, at most `most` at a time.
func together(n, most int, f func(i int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, most)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = f(i)
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
