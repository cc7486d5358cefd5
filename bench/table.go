package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// routeChanges is how often a setting of a service is changed.
const routeChanges = 50

// tableLine is a line of the output of the router's benchmark of its table.
var tableLine = regexp.MustCompile(`(?m)^BenchmarkTable/(\w+)-\d+\s+\d+\s+([\d.]+) ns/op(?:\s+([\d.]+) B/service)?`)

// tabled is what was measured of a routing table of 100,000 services.
type tabled struct {
	lookup, instance, host float64 // ns, of a look-up, and of a change of an instance and of a host name
	perService             float64 // bytes
}

// measureTable runs the router's benchmark of its table, which needs no server.
func measureTable(ctx context.Context) (t tabled, err error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkTable$", "./internal/router").CombinedOutput()
	if err != nil {
		return t, fmt.Errorf("measure the routing table: %w\n%s", err, out)
	}
	for _, m := range tableLine.FindAllSubmatch(out, -1) {
		ns, _ := strconv.ParseFloat(string(m[2]), 64)
		switch string(m[1]) {
		case "lookup":
			t.lookup = ns
			t.perService, _ = strconv.ParseFloat(string(m[3]), 64)
		case "instance":
			t.instance = ns
		case "host":
			t.host = ns
		}
	}
	if t.lookup == 0 || t.instance == 0 || t.host == 0 || t.perService == 0 {
		return t, fmt.Errorf("the benchmark of the routing table printed:\n%s", out)
	}
	return t, nil
}

// seen changes a setting of a service's requests by its API, back and forth. It returns the
// times from the answer of the API to the first request that follows the change.
func (v *service) seen(ctx context.Context, addr string) (list []time.Duration, err error) {
	for i := range routeChanges {
		closed := i%2 == 0
		if closed {
			_, err = v.s.TagResource(ctx, &apprunner.TagResourceInput{ResourceArn: &v.arn, Tags: []types.Tag{
				{Key: aws.String("slipway:allow-from"), Value: aws.String("192.0.2.1")},
			}})
		} else {
			_, err = v.s.UntagResource(ctx, &apprunner.UntagResourceInput{ResourceArn: &v.arn, TagKeys: []string{"slipway:allow-from"}})
		}
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := poll(ctx, 50*time.Microsecond, func() (bool, error) {
			_, err := get(ctx, "http://"+addr+"/100", v.url)
			if closed == (err != nil) {
				return true, nil
			}
			return false, fmt.Errorf("a change of %s is not followed", v.arn)
		}); err != nil {
			return nil, err
		}
		list = append(list, time.Since(began))
	}
	return list, nil
}
