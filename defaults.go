package slipway

import "time"

// App Runner's defaults for what a caller leaves out. The API writes them into the
// specifications that it stores, so that a service keeps them if they ever change.
// https://docs.aws.amazon.com/apprunner/latest/api/API_CreateService.html
const (
	DefaultPort   = 8080
	DefaultCPU    = 1024 // units: one core
	DefaultMemory = 2048 // MiB
)

// DefaultHealthCheck returns the health check of a service that has none: TCP,
// every 5 seconds. Path applies if a caller sets only the protocol.
func DefaultHealthCheck() HealthCheck {
	return HealthCheck{
		Path:               "/",
		Interval:           5 * time.Second,
		Timeout:            2 * time.Second,
		HealthyThreshold:   1,
		UnhealthyThreshold: 5,
	}
}

// DefaultScaling returns the values of an auto scaling configuration that says
// nothing else, and of the one that every account has.
func DefaultScaling() Scaling {
	return Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 25}
}
