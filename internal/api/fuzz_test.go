package api_test

import (
	"testing"

	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// FuzzCall sends arbitrary bodies to all operations: the answer is always an AWS
// JSON document and never an internal error.
func FuzzCall(f *testing.F) {
	b := newBench(f)
	arn := b.create("shop")
	create, err := wire.Marshal(newService("shop", everything))
	if err != nil {
		f.Fatal(err)
	}
	for target, body := range map[string]string{
		"AppRunner.CreateService":                  string(create),
		"AppRunner.UpdateService":                  arnBody(arn, `"InstanceConfiguration":{"Cpu":"256"}`),
		"AppRunner.ListServices":                   `{"MaxResults":1,"NextToken":"eyJsIjoieCIsImEiOlsiMSIsIjIiXX0"}`,
		"AppRunner.TagResource":                    `{"ResourceArn":"` + arn + `","Tags":[{"Key":"a","Value":"b"}]}`,
		"AppRunner.DeleteAutoScalingConfiguration": `{"AutoScalingConfigurationArn":"` + scalingARN("fast", "1") + `","DeleteAllRevisions":true}`,
		"AppRunner.ListAutoScalingConfigurations":  `{"LatestOnly":false,"AutoScalingConfigurationName":"DefaultConfiguration"}`,
	} {
		f.Add(target, []byte(body))
	}
	f.Fuzz(func(t *testing.T, target string, body []byte) {
		b := b.In(t)
		w := b.Send(b.Request(target, string(body)))
		if w.Code >= 500 {
			t.Errorf("%s %q: %d %s", target, body, w.Code, w.Body)
		}
		if w.Code != 200 && w.Doc["__type"] == "" {
			t.Errorf("%s %q: %s has no __type", target, body, w.Body)
		}
		err := b.Store.View(t.Context(), func(tx *store.Tx) error { _, err := tx.DefaultAutoScaling(); return err })
		if err != nil {
			t.Errorf("%s %q: the default scaling configuration is gone: %v", target, body, err)
		}
	})
}
