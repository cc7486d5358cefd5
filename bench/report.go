package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report collects measurements and writes them as a page.
type report struct {
	options
	ways     []string // in the order first seen
	starts   map[string][]time.Duration
	versions []string
	missing  []string
	noise    noise

	scaledOut []time.Duration
	crowd     []time.Duration // until each of the resumed services answered
	crowded   time.Duration   // until all had answered
	rests     []atRest
	shim      int64 // bytes, of one instance

	builds    []*buildRow
	packages  int // of the Node.js project
	unchanged []time.Duration
	first     []time.Duration // first deployments of the Node.js project
	firstBare []time.Duration

	routes []*routed
	slept  slept
	table  tabled
	seen   []time.Duration // from a change by the API to the first request that follows it
	step   stepped

	calls       []measurement
	steady      measurement
	callsMemory int64 // resident bytes of the server after them
}

// atRest is the measurement of an idle server.
type atRest struct {
	what     string
	services int
	memory   int64 // resident bytes
	started  time.Duration
}

// order sets the order of the ways on the page.
func (r *report) order(ways []starter) {
	for _, w := range ways {
		r.ways = append(r.ways, w.name())
	}
}

func (r *report) started(way string, took time.Duration) {
	if r.starts == nil {
		r.starts = map[string][]time.Duration{}
	}
	if !slices.Contains(r.ways, way) {
		r.ways = append(r.ways, way)
	}
	r.starts[way] = append(r.starts[way], took)
}

func (r *report) absent(name, why string) {
	r.missing = append(r.missing, fmt.Sprintf("%s was not measured: %s.", name, why))
}

func (r *report) version(name string, out []byte) {
	r.versions = append(r.versions, name+": "+strings.TrimPrefix(firstLine(out), name+" version "))
}

// page is the page's text.
func (r *report) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Written by `+"`make bench`"+`. Compare ratios; milliseconds depend on the
machine: %s.

%s
`, machine(r.versions), r.noise.text())
	b.WriteString(r.startsSection())
	r.growth(&b)
	b.WriteString(r.routerSection())
	b.WriteString(r.sleepSection())
	b.WriteString(r.buildsSection())
	r.rest(&b)
	r.apiCalls(&b)
	return b.String()
}

// startsHeading begins the section about starts.
const startsHeading = "\n## From the call to the first answer\n"

// startsSection is the section of the page about starts.
func (r *report) startsSection() string {
	var b strings.Builder
	fmt.Fprintf(&b, startsHeading+`
`+"`go run ./bench -only starts`"+` writes only this section. %s

Each way starts the same static binary, a small HTTP server. The ways take turns, in
changing order, %d times, with a pause of a quarter of a second before each. The time
ends with the first 200. Slipway's time begins with the API call and includes
everything: the signature, the transaction, the operation's steps, the sandbox and
the route. runc makes no network namespace. With `+"`slipway:pause-keeps`"+` a pause keeps the
instance, frozen, and a resume thaws it and checks its health.

| way | median ms | 10%% - 90%% | above bare exec | times bare exec |
|---|---|---|---|---|
`, r.noise.text(), r.rounds)
	base := quantile(r.starts[r.ways[0]], 0.5)
	for _, way := range r.ways {
		all := r.starts[way]
		m := quantile(all, 0.5)
		fmt.Fprintf(&b, "| %s | %s | %s - %s | %s | %.1f |\n", way, ms(m), ms(quantile(all, 0.1)), ms(quantile(all, 0.9)), ms(m-base), ratio(m, base))
	}
	b.WriteString("\n")
	for _, other := range []string{"runc", "Docker"} {
		if all := r.starts[other]; len(all) > 0 {
			fmt.Fprintf(&b, "A resume is %.1f times as fast as a start with %s.\n", ratio(quantile(all, 0.5), quantile(r.starts[resumeStarts], 0.5)), other)
		}
	}
	for _, m := range r.missing {
		if !of(m, ofBuilds) && !of(m, ofRouter) && !of(m, ofSleep) {
			fmt.Fprintln(&b, m)
		}
	}
	return b.String()
}

func (r *report) growth(b *strings.Builder) {
	one := quantile(r.starts[resumeStarts], 0.5)
	fmt.Fprintf(b, `
## Growing

| what | ms | times one resume |
|---|---|---|
| scale-out from 1 to %d instances: from %d requests at once until each has its own (median of %d) | %s | %.1f |
| %d paused services resumed at once: until half of them answered | %s | %.1f |
| ... until all answered | %s | %.1f |
`, instances, instances, len(r.scaledOut), ms(quantile(r.scaledOut, 0.5)), ratio(quantile(r.scaledOut, 0.5), one),
		len(r.crowd), ms(quantile(r.crowd, 0.5)), ratio(quantile(r.crowd, 0.5), one), ms(r.crowded), ratio(r.crowded, one))
}

func (r *report) rest(b *strings.Builder) {
	fmt.Fprintf(b, `
## At rest

The server is restarted and left idle for %v.

| server with | memory MiB (resident) | start-up ms |
|---|---|---|
`, settle)
	for _, s := range r.rests {
		fmt.Fprintf(b, "| %s | %.1f | %s |\n", s.what, mib(s.memory), ms(s.started))
	}
	if len(r.rests) > 1 {
		fmt.Fprintf(b, "\nThe shim of an instance uses %.2f MiB (proportional set size, median) beside\nthe application", mib(r.shim))
		first, second := r.rests[0], r.rests[1]
		fmt.Fprintf(b, "; the server itself %.0f KiB more for each running service", perService(first, second))
		if len(r.rests) > 2 {
			fmt.Fprintf(b, "\nand %.0f KiB for each paused one", perService(second, r.rests[2]))
		}
		b.WriteString(".\n")
	}
}

// perService is the memory that each service in b but not in a takes, in KiB.
func perService(a, b atRest) float64 {
	return float64(b.memory-a.memory) / 1024 / float64(max(b.services-a.services, 1))
}

func (r *report) apiCalls(b *strings.Builder) {
	fmt.Fprintf(b, `
## API calls

%[2]d clients on the same machine call a server with %[1]d services concurrently, over
persistent connections. Each call is signed and verified. The first row is the cost of
any answer on this machine.

| call | calls a second | median ms | p99 ms | times the first row's median |
|---|---|---|---|---|
`, r.known, callers)
	for _, v := range r.calls {
		m := quantile(v.took, 0.5)
		fmt.Fprintf(b, "| %s | %.0f | %s | %s | %.1f |\n", v.what, v.perSecond(), ms(m), ms(quantile(v.took, 0.99)), ratio(m, quantile(r.calls[0].took, 0.5)))
	}
	fmt.Fprintf(b, `
DescribeService at a steady %d calls a second: median %s ms, p99 %s ms, measured
from the time a call was due. The server then used %.1f MiB (resident).
`, steady, ms(quantile(r.steady.took, 0.5)), ms(quantile(r.steady.took, 0.99)), mib(r.callsMemory))
}

// buildRow is one comparison of builds.
type buildRow struct {
	what                             string
	bare, build, buildah, deployment []time.Duration
}

// buildsHeading begins the section about builds.
const buildsHeading = "\n## Builds\n"

// buildsSection is the section of the page about builds.
func (r *report) buildsSection() string {
	var b strings.Builder
	fmt.Fprintf(&b, buildsHeading+`
`+"`go run ./bench -only builds -runtimes DIR`"+` writes only this section; the
runtimes, which take minutes to make, stay in DIR. %s

A command of a project runs bare (by chroot in the runtime's files), in a build of
Slipway and in one of buildah (chroot isolation, the same files as its base, without
an image cache). They take turns, %d times; one line of the source is another one each
time, and the package managers' caches are full. A build of Slipway is from the first
to the last line of its log: with the sandbox, the layers, their hashes and the list of
packages. Medians, in seconds.

| command | bare | build | more than bare | buildah | more than bare |
|---|---|---|---|---|---|
`, r.noise.text(), r.buildRounds)
	for _, row := range r.builds {
		bare, build := quantile(row.bare, 0.5), quantile(row.build, 0.5)
		other, more := "-", "-"
		if len(row.buildah) > 0 {
			m := quantile(row.buildah, 0.5)
			other, more = seconds(m), seconds(m-bare)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.describeBuild(row.what), seconds(bare), seconds(build), above(build, bare), other, more)
	}
	b.WriteString(`
From the call to the end of the deployment, with the new version serving: the commit is
found and fetched, built, started, probed and routed to.

| deployment | seconds | the bare command | more than bare |
|---|---|---|---|
`)
	if len(r.unchanged) > 0 {
		fmt.Fprintf(&b, "| of a commit that is built already | %s | - | - |\n", seconds(quantile(r.unchanged, 0.5)))
	}
	for _, row := range r.builds {
		bare, all := quantile(row.bare, 0.5), quantile(row.deployment, 0.5)
		fmt.Fprintf(&b, "| one line changed: %s | %s | %s | %s |\n", r.describeBuild(row.what), seconds(all), seconds(bare), seconds(all-bare))
	}
	if len(r.first) > 0 {
		bare, all := quantile(r.firstBare, 0.5), quantile(r.first, 0.5)
		fmt.Fprintf(&b, "| the first, with empty caches: npm ci (%d packages) | %s | %s | %s |\n", r.packages, seconds(all), seconds(bare), above(all, bare))
	}
	for _, m := range r.missing {
		if of(m, ofBuilds) {
			fmt.Fprintf(&b, "\n%s\n", m)
		}
	}
	return b.String()
}

// above says how much longer one duration is than another, with the share where that
// tells something.
func above(d, base time.Duration) string {
	if base < 100*time.Millisecond {
		return seconds(d - base)
	}
	return fmt.Sprintf("%s (%.0f%%)", seconds(d-base), 100*(ratio(d, base)-1))
}

func (r *report) describeBuild(command string) string {
	if strings.HasPrefix(command, "npm") {
		return fmt.Sprintf("`npm ci` (%d packages)", r.packages)
	}
	return "`" + command + "`"
}

// Sections that tell by themselves what could not be measured.
var (
	ofBuilds = []string{"buildah", "Builds"}
	ofRouter = []string{"nginx", "HAProxy", "Caddy", "The router"}
	ofSleep  = []string{"Waking"}
)

// of reports whether a line about what was not measured begins with one of the names.
func of(missing string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(missing, n) })
}

// sleepHeading begins the section about services that sleep.
const sleepHeading = "\n## Sleep\n"

// sleepSection is the section of the page about services that sleep.
func (r *report) sleepSection() string {
	var b strings.Builder
	fmt.Fprintf(&b, sleepHeading+`
`+"`go run ./bench -only sleep`"+` writes only this section. %s

Each application sleeps after a second without requests and is woken by the next one, %d
times. A timer of those in Python and Node.js runs 100 times a second. The second request
follows at once, on the same connection of the client. Milliseconds.

| application | to a frozen one, median | p99 | right after, median | p99 | waking, median |
|---|---|---|---|---|---|
`, r.noise.text(), r.wakes)
	for _, w := range r.slept.wakes {
		extra := make([]time.Duration, len(w.cold))
		for i := range extra {
			extra[i] = w.cold[i] - w.warm[i]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", w.name, ms(quantile(w.cold, 0.5)), ms(quantile(w.cold, 0.99)),
			ms(quantile(w.warm, 0.5)), ms(quantile(w.warm, 0.99)), ms(quantile(extra, 0.5)))
	}
	for _, m := range r.missing {
		if of(m, ofSleep) {
			fmt.Fprintf(&b, "\n%s\n", m)
		}
	}
	s := r.slept
	fmt.Fprintf(&b, `
%d services, each with one frozen instance of the Go application, and afterwards all of them
stopped:

| | frozen | stopped |
|---|---|---|
| processor time of all instances in a minute, ms | %s | |
| processor time of the server in a minute, percent of a core | %.2f | %.2f |
| memory of the host that they take together, the server included, MiB | %d | %d |
| all woken in random order, without a failure: median ms | %s | |
| ... p99 | %s | |
`, s.services, ms(s.frozen.instances), s.frozen.percent(), s.stopped.percent(),
		(s.before-s.frozen.available)>>20, (s.before-s.stopped.available)>>20, ms(quantile(s.woken, 0.5)), ms(quantile(s.woken, 0.99)))
	return b.String()
}

// percent is the server's processor time in percent of a core.
func (c restCost) percent() float64 { return 100 * c.daemon.Seconds() / restFor.Seconds() }

// routerHeading begins the section about requests.
const routerHeading = "\n## Requests\n"

// routerSection is the section of the page about the router beside other reverse proxies.
func (r *report) routerSection() string {
	var b strings.Builder
	fmt.Fprintf(&b, routerHeading+`
`+"`go run ./bench -only router`"+` writes only this section. %s

The same requests go through Slipway (the whole server) and through reverse proxies of
Debian, each on one core, to the same program on the other, which wrk shares: %d rounds of
%v, in changing order, on kept connections. Slipway's backend is three
instances. Processor time of the proxy for one request, in microseconds, medians; in
brackets requests a second.

| bytes, connections |`, r.noise.text(), routeRounds, routeTime)
	for _, f := range r.routes {
		fmt.Fprintf(&b, " %s |", f.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.routes)) + "\n")
	for _, size := range routeSizes {
		for _, conns := range routeConns {
			fmt.Fprintf(&b, "| %d, %d |", size, conns)
			c := cell(size, conns)
			for _, f := range r.routes {
				rate := slices.Sorted(slices.Values(f.rate[c]))
				fmt.Fprintf(&b, " %.1f (%.0f) |", float64(quantile(f.cost[c], 0.5))/1e3, rate[len(rate)/2])
			}
			b.WriteString("\n")
		}
	}
	r.routeRatios(&b)
	r.routeCalls(&b)
	r.routeRest(&b)
	for _, m := range r.missing {
		if of(m, ofRouter) {
			fmt.Fprintf(&b, "\n%s\n", m)
		}
	}
	return b.String()
}

// routeRatios compares the costs.
func (r *report) routeRatios(b *strings.Builder) {
	b.WriteString("\n| Slipway's processor time, divided by that of |")
	var own *routed
	for _, f := range r.routes {
		if f.name == "Slipway" {
			own = f
		}
	}
	var cells []string
	for _, size := range routeSizes {
		for _, conns := range routeConns {
			fmt.Fprintf(b, " %d, %d |", size, conns)
			cells = append(cells, cell(size, conns))
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(cells)) + "\n")
	for _, f := range r.routes {
		if f == own || f.name == "no proxy" {
			continue
		}
		fmt.Fprintf(b, "| %s |", f.name)
		for _, c := range cells {
			fmt.Fprintf(b, " %.2f |", ratio(quantile(own.cost[c], 0.5), quantile(f.cost[c], 0.5)))
		}
		b.WriteString("\n")
	}
}

// routeCalls tells where the time goes.
func (r *report) routeCalls(b *strings.Builder) {
	b.WriteString("\nSystem calls for one request of 100 bytes on 64 connections (`strace -f -c`), and the share of\nthe processor time of all requests of up to 10,000 bytes that the kernel takes.\n\n" +
		"| way | reads | ... that find nothing | writes | waits | others | kernel |\n|---|---|---|---|---|---|---|\n")
	for _, f := range r.routes {
		c := f.calls
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.0f%% |\n", f.name, c.reads, c.empty, c.writes, c.waits, c.others, 100*ratio(f.kernel, f.all))
	}
}

// routeRest tells the latency at a moderate rate, and the cost of connections at rest.
func (r *report) routeRest(b *strings.Builder) {
	fmt.Fprintf(b, "\nAt %d requests of 100 bytes a second on 32 connections, from when each was due, in ms; and\nthe memory of an idle connection, with %d of them.\n\n| way | 50%% | 99%% | KiB |\n|---|---|---|---|\n", steadyRate, idleConns)
	for _, f := range r.routes {
		kib := "-"
		if f.idle > 0 {
			kib = fmt.Sprintf("%.1f", float64(f.idle)/1024)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", f.name, ms(quantile(f.latency, 0.5)), ms(quantile(f.latency, 0.99)), kib)
	}
	for _, f := range r.routes {
		if f.failed > 0 {
			fmt.Fprintf(b, "\n%s: %d requests got no 200.\n", f.name, f.failed)
		}
	}
	b.WriteString("\n" + r.step.text())
	t := r.table
	fmt.Fprintf(b, `
In a routing table of 100,000 services a look-up takes %.0f ns, the coming or going of an
instance %.0f us and a change of a host name %.0f us; a service takes %.0f bytes of memory
(`+"`go test ./internal/router -run '^$' -bench Table`"+`). The first
request that follows a change by the API comes %s ms after the API's answer (99 %%: %s ms;
%d changes of a setting of one service).
`, t.lookup, t.instance/1e3, t.host/1e3, t.perService,
		ms(quantile(r.seen, 0.5)), ms(quantile(r.seen, 0.99)), len(r.seen))
}

// replaceSection puts a section in the place of that of a page with the heading, or before
// the section about servers at rest.
func replaceSection(page, heading, section string) string {
	before, after, ok := strings.Cut(page, heading)
	if !ok {
		const next = "\n## At rest\n"
		before, after, _ = strings.Cut(page, next)
		return before + section + next + after
	}
	if i := strings.Index(after, "\n## "); i >= 0 {
		return before + section + after[i:]
	}
	return before + section
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func machine(versions []string) string {
	cores := fmt.Sprintf("%d cores", runtime.NumCPU())
	kernel := "unknown"
	if out, err := exec.Command("uname", "-r").Output(); err == nil {
		kernel = firstLine(out)
		if i := strings.IndexByte(kernel, '-'); i > 0 {
			kernel = kernel[:i]
		}
	}
	parts := []string{cores, runtime.GOARCH, "Linux " + kernel}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		parts = append(parts, "cgroup v2")
	} else {
		parts = append(parts, "cgroup v1 or hybrid")
	}
	return strings.Join(append(append(parts, runtime.Version()), versions...), ", ")
}

// quantile returns the value below which the share q of all lies.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
