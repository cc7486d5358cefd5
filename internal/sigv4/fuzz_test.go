package sigv4

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: for any headers, parse either refuses with an *Error or returns
// exactly what was written.
func FuzzParse(f *testing.F) {
	const ok = "AWS4-HMAC-SHA256 Credential=K/20150830/us-east-1/apprunner/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
	f.Add(ok, "20150830T123600Z", "")
	f.Add(ok, "", "Sun, 30 Aug 2015 12:36:00 GMT")
	f.Add("AWS4-HMAC-SHA256 Credential=K/20150830/us-east-1/apprunner/aws4_request,Credential=,SignedHeaders=;,Signature==", "x", "y")
	f.Add("Basic eDp5", "", "")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, auth, amzDate, date string) {
		h := http.Header{"Authorization": {auth}, "X-Amz-Date": {amzDate}, "Date": {date}}
		a, err := parse(h)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%v is no *Error", err)
			}
			return
		}
		for _, part := range []string{
			"Credential=" + strings.Join([]string{a.keyID, a.date, a.region, a.service, terminator}, "/"),
			"SignedHeaders=" + strings.Join(a.signedHeaders, ";"),
			"Signature=" + a.signature,
		} {
			if strings.Count(auth, part) < 1 {
				t.Errorf("%q was read as %q, which it does not say", auth, part)
			}
		}
		if !slices.IsSorted(a.signedHeaders) || a.at.IsZero() && amzDate == "" && date == "" {
			t.Errorf("%q was read as %+v", auth, a)
		}
	})
}
