package cloudwatch_test

import "testing"

// FuzzCall sends any body to any operation: the reply is always an AWS JSON document
// and never an internal error.
func FuzzCall(f *testing.F) {
	b := newLogBench(f)
	b.output.add("instance/a", 0, "x")
	for _, c := range [][2]string{
		{"DescribeLogGroups", `{"logGroupNamePrefix":"/aws","limit":1,"nextToken":"x"}`},
		{"DescribeLogStreams", b.in("service", `"orderBy":"LastEventTime","descending":true`)},
		{"FilterLogEvents", b.in("service", `"filterPattern":"-a ?b \"c\""`)},
		{"GetLogEvents", b.in("service", `"logStreamName":"events","nextToken":"f/1/1","startTime":-9223372036854775808`)},
	} {
		f.Add("Logs_20140328."+c[0], []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, target string, body []byte) {
		b := b.In(t)
		w := b.Call(target, string(body))
		if w.Code >= 500 || w.Code != 200 && w.Doc["__type"] == "" {
			t.Errorf("%s %q: %d %s", target, body, w.Code, w.Body)
		}
	})
}
