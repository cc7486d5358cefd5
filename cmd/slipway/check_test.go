package main

import (
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/wire"
)

// fakeCheck is how the next checks end.
type fakeCheck struct {
	client.CheckStatus
	denied bool // with a service
}

// callCheck answers the calls about checks, which have one line at each look.
func (f *fakeServer) callCheck(operation string, body []byte) (any, error) {
	in, err := decode[struct {
		CheckId, ServiceArn string
		From                int
	}](body)
	if err != nil {
		return nil, err
	}
	if operation == "StartCheck" {
		f.calls = append(f.calls, operation+" "+canonical(body))
		if f.check.denied && in.ServiceArn != "" {
			return nil, wire.NewException("AccessDeniedException", "User is not authorized to perform: apprunner:UpdateService")
		}
		return struct{ CheckId string }{"1"}, nil
	}
	out := f.check.CheckStatus
	if in.From < len(out.Lines) {
		return client.CheckStatus{Status: "IN_PROGRESS", Lines: out.Lines[in.From : in.From+1]}, nil
	}
	out.Lines = nil
	return out, nil
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	dir := filepath.Join(t.TempDir(), "Shop")
	write(t, dir, map[string]string{"server.py": "import http.server\nhttp.server.ThreadingHTTPServer(('', 8080), None).serve_forever()\n"})
	s.server.check.CheckStatus = client.CheckStatus{
		Status: "SUCCEEDED", Message: "It listens on 8080 after 0.4 s.",
		Lines: []string{"[AppRunner] Starting source code build.", "[Build] $ make", "[AppRunner] Detected: x", "[Run] hello"},
	}
	s.runAs("check Shop", "check", dir)
	s.show()
	s.server.add("shop", types.ServiceStatusRunning)
	s.server.check.denied = true
	s.runAs("check Shop --port 81 -e A=1 --start-command serve --json", "check", dir, "--port", "81", "-e", "A=1", "--start-command", "serve", "--json")
	s.show()
	s.server.check.Status, s.server.check.Message = "FAILED", "It listens on port 5000, and not on 8080."
	s.server.check.Next = "Let it listen on the port in the variable PORT, or deploy it with --port 5000."
	s.runAs("check Shop", "check", dir)
	s.runAs("check Shop --json", "check", dir, "--json")
	s.run("check", "shop.tar")
	s.golden()
}
