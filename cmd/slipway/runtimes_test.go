package main

import (
	"testing"

	"github.com/openslipway/slipway/internal/cli/client"
)

// callBuilds answers the calls about runtimes and caches.
func (f *fakeServer) callBuilds(operation string, body []byte) (any, error) {
	if operation == "PruneBuilds" {
		f.calls = append(f.calls, operation+" "+canonical(body))
		return struct{ FreedBytes int64 }{1_234_567_890}, nil
	}
	return struct{ Runtimes []client.Runtime }{[]client.Runtime{
		{Name: "python311", Title: "Python 3.11", Image: "docker.io/library/python:3.11", Suite: "bookworm", End: "2027-10-31", Made: []client.RuntimeVersion{{Version: "3.11.2", Origin: "recipe"}}},
		{Name: "go1", Title: "Go", Suite: "bookworm", Made: []client.RuntimeVersion{{Version: "1.18.10", Origin: "recipe"}, {Version: "1.22.1", Origin: "recipe"}}},
		{Name: "nodejs12", Title: "Node.js 12", Image: "docker.io/library/node:12", Suite: "bookworm", End: "2022-04-30"},
		{Name: "dotnet6", Title: ".NET 6", Absent: "Debian has no packages of it."},
	}}, nil
}

func TestRuntimes(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("runtimes")
	s.run("runtimes", "--json")
	s.run("build", "prune", "--yes")
	s.run("build", "prune", "--unused-for", "168h", "--json", "--yes")
	s.run("build", "prune", "--unused-for", "-1h", "--yes")
	s.run("build", "purge")
	s.show()
	s.golden()
}
