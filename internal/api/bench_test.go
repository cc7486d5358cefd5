package api_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

// BenchmarkDescribeService is one signed read.
func BenchmarkDescribeService(b *testing.B) {
	t := newBench(b)
	arn := t.create("shop")
	for b.Loop() {
		b.StopTimer()
		r := t.Request("AppRunner.DescribeService", arnBody(arn))
		b.StartTimer()
		w := httptest.NewRecorder()
		if t.Handler.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkResumeService is one signed call that starts an operation and returns
// when it is durable.
func BenchmarkResumeService(b *testing.B) {
	t := newBench(b)
	arn := t.create("shop")
	for b.Loop() {
		b.StopTimer()
		t.pause(arn)
		t.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
		r := t.Request("AppRunner.ResumeService", arnBody(arn))
		w := httptest.NewRecorder()
		b.StartTimer()
		t.Handler.ServeHTTP(w, r)
		b.StopTimer()
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
		t.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
		b.StartTimer()
	}
}

// BenchmarkListServices is one signed read of a page of twenty.
func BenchmarkListServices(b *testing.B) {
	t := newBench(b, func(c *api.Config) { c.Quotas.Services = -1 })
	for i := range 1000 {
		t.create(fmt.Sprintf("shop-%d", i))
	}
	for b.Loop() {
		b.StopTimer()
		r := t.Request("AppRunner.ListServices", `{"MaxResults":20}`)
		b.StartTimer()
		w := httptest.NewRecorder()
		if t.Handler.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
