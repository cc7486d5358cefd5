package daemon

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCollectors(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"127.0.0.1:4317", "grpc://127.0.0.1:4317", "http://", "http://u@h", "http://h/v1/traces", "http://h?x", "::"} {
		c := Config{OTLPEndpoint: bad}
		if _, err := c.collectors(); err == nil || !strings.Contains(err.Error(), "--otlp-endpoint is") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	none, err := (&Config{}).collectors()
	if err != nil || len(none) != 0 {
		t.Errorf("without flags: %v, %v", none, err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "collected") }))
	defer srv.Close()
	both, err := (&Config{OTLPEndpoint: "https://collector.example", OTLPHTTPEndpoint: srv.URL + "/"}).collectors()
	if err != nil || len(both) != 2 || both[0].Port != 4317 || both[1].Port != 4318 {
		t.Fatalf("both: %v, %v", both, err)
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return both[1].Dial(ctx) },
	}}
	resp, err := client.Get("http://localhost:4318/v1/traces")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "collected" {
		t.Errorf("the collector answers %q, %v", text, err)
	}
}
