package api_test

import (
	"net/http/httptest"
	"testing"

	"github.com/openslipway/slipway"
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
		if t.Gateway.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkResumeService is one signed call that asks for an operation, durable
// when it is answered.
func BenchmarkResumeService(b *testing.B) {
	t := newBench(b)
	arn := t.create("shop")
	for b.Loop() {
		b.StopTimer()
		t.ok("PauseService", arnBody(arn))
		t.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
		r := t.Request("AppRunner.ResumeService", arnBody(arn))
		w := httptest.NewRecorder()
		b.StartTimer()
		t.Gateway.ServeHTTP(w, r)
		b.StopTimer()
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
		t.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
		b.StartTimer()
	}
}
