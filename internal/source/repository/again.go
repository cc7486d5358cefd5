package repository

import (
	"context"
	"encoding/json"

	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/source/git"
)

// known is what was found out of a commit when it was built. It spares a deployment of
// the same commit the fetching and reading.
type known struct {
	of  string // see identify
	rev git.Revision
	plan
}

// identify returns a text that is the same for requests that would find the same
// commit, with the same content and the same configuration. It has no credentials.
func identify(q source.BuildRequest) string {
	r := q.Repository
	text, err := json.Marshal([]any{q.Commit, r.URL, r.Directory, r.Configuration, r.Build})
	if err != nil {
		return "" // cannot happen: there are only strings
	}
	return string(text)
}

// request is the build of a commit whose files are in the directory tree.
func (k known) request(q source.BuildRequest, tree string) build.Request {
	r := q.Repository
	return build.Request{
		Service: q.Service, Tree: tree, SourceID: k.rev.Tree, SourceDirectory: "/" + r.Directory,
		Commit: k.rev.Commit, Time: k.rev.Time, Origin: origin(r.URL), File: k.file, Program: k.program,
		Mode: r.Build.Mode, Env: variables(r.Build.Env), Secrets: variables(q.Secrets), Settings: r.Build.Fingerprint(),
		Dockerfile: k.docker, Target: r.Build.Target, Args: variables(r.Build.Args),
	}
}

func (m *Maker) remember(service string, k known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[service] = k
}

// again returns the image of the service's last build if that was of the same commit
// and still has the same inputs: nothing is fetched then.
func (m *Maker) again(ctx context.Context, q source.BuildRequest, progress func(line string)) (b source.Build, ok bool, err error) {
	m.mu.Lock()
	k := m.known[q.Service]
	m.mu.Unlock()
	if id := identify(q); id == "" || k.of != id {
		return b, false, nil
	}
	output := func(line string) { m.cfg.Output(q.Service, q.Operation, line) }
	res, ok := m.cfg.Builder.Find(ctx, k.request(q, ""), func(l build.Line) { output(l.String()) })
	if !ok {
		return b, false, nil
	}
	b, err = m.made(ctx, res, k, q.Repository, progress, output)
	return b, true, err
}
