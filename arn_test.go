package slipway_test

import (
	"strings"
	"testing"

	"github.com/openslipway/slipway"
)

func TestParseARN(t *testing.T) {
	t.Parallel()
	const service = "arn:aws:apprunner:us-east-1:000000000000:service/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f"
	a, err := slipway.ParseARN(service)
	if err != nil || a.String() != service || a.Type != "service" || a.Name() != "shop" || len(a.Parts) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{
		"", "arn", "arn:aws:apprunner:us-east-1:000000000000:service", "arn:aws:apprunner:us-east-1:000000000000:service/",
		"arn:aws:s3:us-east-1:000000000000:service/shop", "arn:aws:apprunner::000000000000:service/shop",
		"arn:aws:apprunner:us-east-1::service/shop", "arn:aws:apprunner:us-east-1:000000000000:service/a/b/c/d",
		"arn:other:apprunner:us-east-1:000000000000:service/shop", "arn:aws:apprunner:us-east-1:000000000000:service//b",
	} {
		if a, err := slipway.ParseARN(bad); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%q was read as %+v, %v", bad, a, err)
		}
	}
}

// FuzzParseARN: every text is either refused as the caller's mistake or parsed
// without loss.
func FuzzParseARN(f *testing.F) {
	f.Add("arn:aws:apprunner:us-east-1:000000000000:service/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f")
	f.Add("arn:aws-cn:apprunner:us-east-1:000000000000:autoscalingconfiguration/DefaultConfiguration/1/00000000000000000000000000000001")
	f.Add("arn:aws:apprunner:::/")
	f.Add("arn:aws:apprunner:a:b:c/d:e")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := slipway.ParseARN(text)
		if err != nil {
			if slipway.CodeOf(err) != slipway.InvalidRequest {
				t.Fatalf("%q: %v is not the caller's mistake", text, err)
			}
			return
		}
		again, err := slipway.ParseARN(a.String())
		if err != nil || again.String() != a.String() {
			t.Errorf("%q was read as %+v, which reads as %+v, %v", text, a, again, err)
		}
		if _, rest, _ := strings.Cut(text, ":apprunner:"); !strings.HasSuffix(a.String(), rest) || a.Name() == "" {
			t.Errorf("%q was read as %s", text, a)
		}
	})
}

// An ARN of another partition, region or account is no resource of this server.
func TestARNIn(t *testing.T) {
	t.Parallel()
	const own = "arn:aws:apprunner:us-east-1:000000000000:service/shop"
	for text, want := range map[string]bool{
		own: true,
		strings.Replace(own, "aws:", "aws-cn:", 1):        false,
		strings.Replace(own, "us-east-1", "us-east-2", 1): false,
		strings.Replace(own, "us-east-1", "US-EAST-1", 1): false,
		strings.Replace(own, ":0000", ":0001", 1):         false,
	} {
		a, err := slipway.ParseARN(text)
		if err != nil || a.In("us-east-1", "000000000000") != want || a.String() != text {
			t.Errorf("%s is %+v, %v; own %v", text, a, err, a.In("us-east-1", "000000000000"))
		}
	}
}
