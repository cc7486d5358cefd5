package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestAuditSurvivesCrash kills the server while clients create configurations:
// each that is there afterwards has its record.
func TestAuditSurvivesCrash(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--isolated", "--warm", "0", "--quota", "autoscaling-names=-1")
	for round := range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var clients sync.WaitGroup
		for worker := range 4 {
			c := s.Client()
			clients.Go(func() {
				for i := 0; ; i++ {
					_, err := c.CreateAutoScalingConfiguration(ctx, &apprunner.CreateAutoScalingConfigurationInput{
						AutoScalingConfigurationName: aws.String(fmt.Sprintf("r%d-w%d-%d", round, worker, i)),
					}, func(o *apprunner.Options) { o.Retryer = aws.NopRetryer{} })
					if err != nil {
						return
					}
				}
			})
		}
		harness.Eventually(t, "configurations are made", func() (bool, string) {
			out, err := s.Client().ListAutoScalingConfigurations(ctx, &apprunner.ListAutoScalingConfigurationsInput{})
			if err != nil {
				return false, err.Error()
			}
			n := len(out.AutoScalingConfigurationSummaryList)
			return n > 20*(round+1), fmt.Sprintf("%d so far", n)
		})
		s.Kill()
		clients.Wait()
		cancel()
		s.Start()
	}
	list, err := s.Client().ListAutoScalingConfigurations(t.Context(), &apprunner.ListAutoScalingConfigurationsInput{})
	if err != nil {
		t.Fatal(err)
	}
	records := s.MustSlipway(t, "audit", "--json", "--name", "CreateAutoScalingConfiguration", "-n", "10000")
	var doc struct {
		Records []struct {
			RequestParameters struct{ AutoScalingConfigurationName string }
		}
	}
	if err := json.Unmarshal([]byte(records), &doc); err != nil {
		t.Fatalf("%v: %s", err, records)
	}
	recorded := map[string]bool{}
	for _, r := range doc.Records {
		recorded[r.RequestParameters.AutoScalingConfigurationName] = true
	}
	for _, v := range list.AutoScalingConfigurationSummaryList {
		if n := *v.AutoScalingConfigurationName; n != "DefaultConfiguration" && !recorded[n] {
			t.Errorf("%s was made and is not recorded", n)
		}
	}
	t.Logf("%d configurations, %d records", len(list.AutoScalingConfigurationSummaryList), len(recorded))
}
