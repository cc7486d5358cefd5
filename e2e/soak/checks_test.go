package soak

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// check waits until nobody does anything, and compares the whole server with the book.
func (s *soak) check(when string) {
	s.quiet.Lock()
	defer s.quiet.Unlock()
	s.AwaitFormers()
	var there []string
	for _, v := range s.services {
		if v.broken {
			continue
		}
		if v.life != nil {
			v.compare()
			v.comparePast()
			v.compareMark()
		}
		v.compareInstances()
	}
	pages := apprunner.NewListServicesPaginator(s.client, &apprunner.ListServicesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		if err != nil {
			s.T.Errorf("ListServices: %v", err)
			return
		}
		for _, sum := range page.ServiceSummaryList {
			there = append(there, *sum.ServiceName)
		}
	}
	slices.Sort(there)
	if want := s.names(); !slices.Equal(there, want) && !s.T.Failed() {
		s.T.Errorf("%s: there are the services %q, want %q", when, there, want)
	}
	s.compareResources(when)
	s.T.Logf("%v: checked %s: %d services, %d instances", time.Since(s.began).Round(time.Second), when, len(there), len(s.InstanceProcesses("app")))
}

// comparePast compares the operations of the service with those of the book.
func (v *service) comparePast() {
	var list []done
	pages := apprunner.NewListOperationsPaginator(v.client, &apprunner.ListOperationsInput{ServiceArn: &v.life.arn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(v.ctx)
		if err != nil {
			v.fail("ListOperations: %v", err)
			return
		}
		for _, o := range page.OperationSummaryList {
			list = append(list, done{aws.ToString(o.Id), o.Type, o.Status})
		}
	}
	slices.Reverse(list) // they are newest first
	if !slices.Equal(list, v.life.past) {
		v.fail("its operations are\n%v\nwant\n%v", list, v.life.past)
	}
}

// compareMark compares the service's tag with the book.
func (v *service) compareMark() {
	if v.book.status == "" {
		return
	}
	out, err := v.client.ListTagsForResource(v.ctx, &apprunner.ListTagsForResourceInput{ResourceArn: &v.life.arn})
	if err != nil {
		v.fail("ListTagsForResource: %v", err)
		return
	}
	mark := 0
	for _, t := range out.Tags {
		if *t.Key == "mark" {
			mark, _ = strconv.Atoi(*t.Value)
		}
	}
	if mark != v.book.mark {
		v.fail("its tag is %d, want %d", mark, v.book.mark)
	}
}

// compareInstances waits until the service has the instances that it should have: of the
// release that serves, and as many as its size allows.
func (v *service) compareInstances() {
	least, most := 0, 0
	switch {
	case v.book.status == types.ServiceStatusRunning && v.exits:
		most = 1 // the next start may be minutes away
	case v.book.status == types.ServiceStatusRunning && v.instanceFault(v.name, time.Now().Add(-restartsCount), time.Now()):
		most = v.most()
	case v.book.status == types.ServiceStatusRunning:
		least, most = v.least(), v.most()
	case v.book.status == types.ServiceStatusPaused && slices.Contains(v.settings, "pause-keeps"):
		most = v.least()
	}
	last := ""
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); {
		list := v.instancesOf(v)
		last = fmt.Sprintf("%d instances, want %d to %d", len(list), least, most)
		old := slices.IndexFunc(list, func(p harness.Process) bool {
			_, revision := serviceOf(p)
			return revision != v.book.serves.greeting
		})
		if old >= 0 {
			last += ", and one of another release"
		} else if len(list) >= least && len(list) <= most {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	v.fail("it has %s", last)
}

// state is what the server holds, by kind.
type state map[string]int

// measure returns what the server's process and the machine hold for it.
func (s *soak) measure() state {
	st := state{}
	for kind, list := range harness.ResourcesOf(s.Server) {
		if kind == "process" {
			list = slices.DeleteFunc(slices.Clone(list), func(p string) bool { return strings.HasPrefix(p, strconv.Itoa(s.LastPID())+" ") })
		}
		st[kind] = len(list)
	}
	proc := fmt.Sprintf("/proc/%d/", s.LastPID())
	fds, _ := os.ReadDir(proc + "fd")
	for _, fd := range fds {
		if target, err := os.Readlink(proc + "fd/" + fd.Name()); err == nil {
			st["descriptor "+classOf(target, s.DataDir)]++
		}
	}
	tasks, _ := os.ReadDir(proc + "task")
	st["thread"] = len(tasks)
	st["rule"], st["element"] = s.Rules()
	filepath.WalkDir(s.DataDir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		}
		rel, _ := filepath.Rel(s.DataDir, path)
		parts := strings.SplitN(rel, "/", 3)
		class := parts[0]
		if len(parts) > 1 {
			class += "/" + parts[1]
		}
		if !keeps(class) && len(parts) > 1 && !d.IsDir() {
			st["file below "+parts[0]]++
		}
		if len(parts) > 2 && d.IsDir() && filepath.Base(filepath.Dir(path)) != "" && strings.HasPrefix(rel, "runtime/") {
			return fs.SkipDir // what applications have written
		}
		return nil
	})
	return st
}

// keeps reports whether the files of a class stay for a while after the deletion of what they
// are of: logs for an hour, images until they are collected.
func keeps(class string) bool {
	return strings.HasPrefix(class, "logs") || strings.HasPrefix(class, "images/") && class != "images/tmp"
}

// classOf returns what a descriptor is of.
func classOf(target, dir string) string {
	switch {
	case strings.HasPrefix(target, dir):
		rel := strings.TrimPrefix(strings.TrimPrefix(target, dir), "/")
		top, _, _ := strings.Cut(rel, "/")
		return "below the data directory: " + top
	case strings.HasPrefix(target, "anon_inode:"):
		return strings.TrimPrefix(target, "anon_inode:")
	case strings.Contains(target, ":["):
		kind, _, _ := strings.Cut(target, ":")
		return kind
	}
	return target
}

// resident returns the kilobytes of memory that the server has.
func (s *soak) resident() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.LastPID()))
	if err != nil {
		return 0
	}
	_, text, _ := strings.Cut(string(b), "VmRSS:")
	f := strings.Fields(text)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(f[0])
	return n
}

// settled measures until nothing has changed for a while: sandboxes are made ahead of need,
// and connections close, in the background.
func (s *soak) settled() state {
	s.quiet.Lock()
	defer s.quiet.Unlock()
	s.kept.CloseIdleConnections()
	was, same := s.measure(), 0
	for deadline := time.Now().Add(harness.Timeout); same < 10 && time.Now().Before(deadline); {
		<-time.After(500 * time.Millisecond)
		now := s.measure()
		if same++; !maps.Equal(now, was) {
			same = 0
		}
		was = now
	}
	return was
}

// slack is by how much a kind may grow in a server that holds nothing: Go keeps threads, and
// connections of clients come and go. The access log of a deleted service stays open for ten
// minutes.
func slack(kind string) int {
	switch kind {
	case "thread":
		return 12
	case "descriptor socket":
		return 4
	case "descriptor below the data directory: logs":
		return 4
	}
	return 0
}

// more returns what there is more of than before, beyond the slack.
func (now state) more(before state) (list []string) {
	for _, kind := range slices.Sorted(maps.Keys(now)) {
		if now[kind] > before[kind]+slack(kind) {
			list = append(list, fmt.Sprintf("%d of %s, before %d", now[kind], kind, before[kind]))
		}
	}
	return list
}

// TestMore checks that what is left over is seen.
func TestMore(t *testing.T) {
	t.Parallel()
	before := state{"link": 8, "thread": 15, "rule": 3}
	now := state{"link": 9, "thread": 20, "mount": 1}
	want := []string{"9 of link, before 8", "1 of mount, before 0"}
	if got := now.more(before); !slices.Equal(got, want) {
		t.Errorf("more is %q, want %q", got, want)
	}
}

// compareLeft compares what the server holds with what it held before.
func (s *soak) compareLeft(before state) {
	now := s.settled()
	for _, more := range now.more(before) {
		s.leak("with all services deleted: %s", more)
	}
	if now := s.resident(); now > 400<<10 {
		s.leak("with all services deleted: the server has %d KiB of memory", now)
	}
	s.T.Logf("before: %v\nafter: %v, %d KiB of memory", before, now, s.resident())
}

// compareResources compares what the server holds for its instances with their number. Each
// sandbox has a link, a directory, a network namespace, and a control group in each hierarchy.
func (s *soak) compareResources(when string) {
	const ahead, hierarchies, own = 14, 9, 4 // ahead of need; of control groups; the server's own things
	var last string
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); {
		n, st := len(s.InstanceProcesses("app")), s.measure()
		last = ""
		for kind, most := range map[string]int{
			"link": n + ahead, "file": n + ahead, "mount": own, "table": 1, "descriptor net": n + ahead + own, "descriptor mnt": n + ahead + own,
			"cgroup": (n + ahead + own) * hierarchies, "process": 2*(n+ahead) + 2*own, "rule": 4 * (n + ahead + own), "element": 2 * (n + ahead + own),
		} {
			if st[kind] > most {
				last += fmt.Sprintf("%d of %s for %d instances, want at most %d; ", st[kind], kind, n, most)
			}
		}
		if last == "" {
			s.T.Logf("with %d instances: %v, %d KiB of memory", n, st, s.resident())
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	s.leak("%s: %s", when, last)
}
