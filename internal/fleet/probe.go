package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/runtime"
)

const (
	// A starting instance is checked again after firstGap, then after gaps that
	// grow by a twentieth, up to longestGap. A gap is therefore at most about a
	// twentieth of the time that the application has taken to start. While nothing
	// listens yet, a check costs little and its gap is at most refusedGap: most
	// applications listen when they are ready.
	firstGap   = 200 * time.Microsecond
	refusedGap = 10 * time.Millisecond
	longestGap = 50 * time.Millisecond

	// An instance that has been starting for longer than slowAfter is checked
	// every slowGap, which costs less.
	slowAfter = 30 * time.Second
	slowGap   = 500 * time.Millisecond

	// reportAfter is the age from which failing checks of a starting instance are
	// reported, and reportEvery the minimum time between two reports.
	reportAfter = time.Second
	reportEvery = time.Second

	// maxHead is how many bytes are read of a health check's response.
	maxHead = 64 << 10
)

// healthReport is what the checks of an instance have found so far.
type healthReport struct {
	passed  time.Time // when they first succeeded; zero before
	failing bool      // UnhealthyThreshold checks in a row have failed since
	problem string    // what the last check found, for people; "" when it succeeded
	sure    bool      // a starting instance will never pass
}

// checker checks the health of one instance.
type checker struct {
	driver  runtime.Driver
	id      string
	port    int
	check   slipway.HealthCheck
	created time.Time

	passed  bool // the instance was healthy before
	failing bool // and has failed UnhealthyThreshold checks since
	report  func(healthReport)
	ended   func() // the instance's process seems to be gone
}

// run checks until ctx ends.
func (c *checker) run(ctx context.Context) {
	passed := time.Time{}
	if !c.passed {
		var ok bool
		if passed, ok = c.start(ctx); !ok {
			return
		}
		c.report(healthReport{passed: passed})
	} else {
		// Spread the checks of instances that were adopted at the same time.
		loop.Pause(ctx, rand.N(c.check.Interval+1))
	}
	c.watch(ctx, passed)
}

// start checks a starting instance until HealthyThreshold checks in a row have
// passed, and returns when that was. It returns false when ctx ended first.
func (c *checker) start(ctx context.Context) (time.Time, bool) {
	gap, passes := firstGap, 0
	reported, reportedAt := "", c.created.Add(reportAfter-reportEvery)
	hint := hints{checker: c, next: c.created.Add(hintAfter)}
	gaps := newGapTimer()
	defer gaps.close()
	for ctx.Err() == nil {
		err := c.once(ctx)
		now := time.Now()
		switch {
		case err == nil:
			if passes++; passes >= c.check.HealthyThreshold {
				return now, true
			}
		case ctx.Err() != nil:
			return time.Time{}, false
		default:
			passes = 0
			if c.isGone(err) {
				c.ended()
				gap = longestGap // further checks will not pass
			}
			hint.look(ctx, now, err)
			problem := c.describe(err) + hint.text
			if hint.sure || problem != reported && now.Sub(reportedAt) >= reportEvery {
				reported, reportedAt = problem, now
				c.report(healthReport{problem: problem, sure: hint.sure})
			}
		}
		gaps.sleep(ctx, gap)
		gap = nextGap(gap, now.Sub(c.created), errors.Is(err, syscall.ECONNREFUSED))
	}
	return time.Time{}, false
}

// nextGap returns the gap that follows another one, before a check of an instance that has
// been starting for a while. refused says that nothing listened at the last check.
func nextGap(gap, starting time.Duration, refused bool) time.Duration {
	switch {
	case starting > slowAfter:
		return slowGap
	case refused:
		return min(gap+gap/20, refusedGap)
	}
	return min(gap+gap/20, longestGap)
}

// watch checks an instance that has been healthy, every Interval.
func (c *checker) watch(ctx context.Context, passed time.Time) {
	failures, passes := 0, 0
	for ctx.Err() == nil {
		loop.Pause(ctx, c.check.Interval)
		freezes, thawed := c.freezes()
		if thawed != nil {
			// It answers nobody. It is thawed before the next request, and has a whole
			// interval before the next check.
			select {
			case <-thawed:
			case <-ctx.Done():
			}
			failures = 0
			continue
		}
		err := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if now, _ := c.freezes(); err != nil && now != freezes {
			continue // it was frozen meanwhile
		}
		if err == nil {
			failures, passes = 0, passes+1
			if c.failing && passes >= c.check.HealthyThreshold {
				c.failing = false
				c.report(healthReport{passed: passed})
			}
			continue
		}
		if c.isGone(err) {
			c.ended()
		}
		failures, passes = failures+1, 0
		if !c.failing && failures >= c.check.UnhealthyThreshold {
			c.failing = true
			c.report(healthReport{passed: passed, failing: true, problem: c.describe(err)})
		}
	}
}

// freezes is runtime.Freezer's for the instance.
func (c *checker) freezes() (times int, thawed <-chan struct{}) {
	if f, ok := c.driver.(runtime.Freezer); ok {
		return f.Freezes(c.id)
	}
	return 0, nil
}

func (c *checker) isGone(err error) bool {
	return errors.Is(err, runtime.ErrNotRunning) || errors.Is(err, runtime.ErrNotFound)
}

// answerError is an HTTP response whose status is not 200 to 299.
type answerError struct {
	code     int
	status   string // "404 Not Found"
	location string // of a redirection
}

func (e answerError) Error() string { return e.status }

// once makes one check: a TCP connection, or a GET request to which the
// application responds with 200 to 299.
func (c *checker) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.check.Timeout)
	defer cancel()
	conn, err := c.driver.Dial(ctx, c.id, c.port)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !c.check.HTTP {
		return nil
	}
	// Closing stops a read at once when the instance is to be removed.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	status, err := get(ctx, conn, c.check.Path)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case status.StatusCode < 200 || status.StatusCode > 299:
		return answerError{status.StatusCode, status.Status, status.Header.Get("Location")}
	}
	return nil
}

// get sends a request and reads the head of the response.
func get(ctx context.Context, conn net.Conn, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort("localhost", "80"), nil)
	if err != nil {
		return nil, err
	}
	// The path is sent as the user wrote it, with its query.
	req.URL.Opaque = "/" + strings.TrimLeft(path, "/")
	req.Host = "localhost"
	req.Header.Set("User-Agent", "Slipway-HealthCheck/1.0")
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	answer := bufio.NewReader(io.LimitReader(conn, maxHead))
	for {
		res, err := http.ReadResponse(answer, req)
		if err != nil {
			return nil, err
		}
		res.Body.Close()
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, nil
		}
	}
}

// describe describes a failed check for people.
func (c *checker) describe(err error) string {
	what := fmt.Sprintf("a connection to port %d", c.port)
	if c.check.HTTP {
		what = fmt.Sprintf("GET %s on port %d", c.check.Path, c.port)
	}
	var answer answerError
	switch {
	case errors.As(err, &answer):
		return fmt.Sprintf("%s was answered with %s", what, answer.status)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens on port %d", c.port)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("%s was not answered within %v", what, c.check.Timeout)
	case c.isGone(err):
		return "its process is gone"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Sprintf("%s was cut off without an answer", what)
	}
	return fmt.Sprintf("%s failed: %v", what, err)
}
