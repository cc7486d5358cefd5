package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
)

// The step of load: from nothing to stepRate at once, for requests that take the
// application 20 ms. Connections wait for their responses, so there are more than enough.
const (
	stepRate  = 2000 // requests a second
	stepTime  = 10 * time.Second
	stepConns = 500
)

// stepped is what was measured of a step of load.
type stepped struct {
	first, later []time.Duration // from when each request was due, in the first second and after it
	failed       int
}

// measureStep sends the step to a service of one instance, which may have ten.
func (s *server) measureStep(ctx context.Context) (st stepped, err error) {
	scaling, err := s.CreateAutoScalingConfiguration(ctx, &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String("step"), MaxConcurrency: aws.Int32(10), MinSize: aws.Int32(1), MaxSize: aws.Int32(10),
	})
	if err != nil {
		return st, err
	}
	v, err := s.running(ctx, "stepped", *scaling.AutoScalingConfiguration.AutoScalingConfigurationArn)
	if err != nil {
		return st, err
	}
	addr := strings.TrimPrefix(s.ready.HTTP, "http://")
	conns := make([]net.Conn, stepConns)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	for i := range conns {
		if conns[i], err = net.Dial("tcp", addr); err != nil {
			return st, err
		}
	}
	if err := idle(ctx, settle/4); err != nil { // the instance has had no request yet
		return st, err
	}
	err = st.send(ctx, conns, v.url)
	_, gone := v.s.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: &v.arn})
	return st, errors.Join(err, gone)
}

// send sends the requests, on connections that take turns.
func (st *stepped) send(ctx context.Context, conns []net.Conn, host string) error {
	var mu sync.Mutex
	began := time.Now().Add(50 * time.Millisecond)
	return together(stepConns, stepConns, func(i int) error {
		const every = stepConns * time.Second / stepRate
		request := []byte("GET /slow HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		r := bufio.NewReader(conns[i])
		for due := began.Add(time.Duration(i) * every / stepConns); due.Before(began.Add(stepTime)); due = due.Add(every) {
			if err := idle(ctx, time.Until(due)); err != nil {
				return err
			}
			if _, err := conns[i].Write(request); err != nil {
				return err
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				return err
			}
			if _, err := r.Discard(int(resp.ContentLength)); err != nil {
				return err
			}
			mu.Lock()
			switch took := time.Since(due); {
			case resp.StatusCode != http.StatusOK:
				st.failed++
			case due.Before(began.Add(time.Second)):
				st.first = append(st.first, took)
			default:
				st.later = append(st.later, took)
			}
			mu.Unlock()
		}
		return nil
	})
}

// text describes the measurement.
func (st stepped) text() string {
	return fmt.Sprintf(`A step from 0 to %d requests a second, each of which takes the application 20 ms, on a
service with MinSize 1, MaxSize 10 and MaxConcurrency 10: of %d requests %d failed. From when
each was due, 99 %% of those of the first second took at most %s ms, of the later ones
%s ms (50 %%: %s and %s ms).
`, stepRate, len(st.first)+len(st.later)+st.failed, st.failed, ms(quantile(st.first, 0.99)), ms(quantile(st.later, 0.99)),
		ms(quantile(st.first, 0.5)), ms(quantile(st.later, 0.5)))
}
