package crash

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// database is the files of a server's database, by their names.
type database map[string][]byte

// takeDatabase removes the database of a server that does not run, and returns it.
func takeDatabase(s *harness.Server) database {
	s.T.Helper()
	files := database{}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		path := filepath.Join(s.DataDir, "slipway.db"+suffix)
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			s.T.Fatal(err)
		}
		files[path] = b
	}
	return files
}

// put puts a database in the place of what is there.
func (d database) put(s *harness.Server) {
	s.T.Helper()
	takeDatabase(s)
	for path, content := range d {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			s.T.Fatal(err)
		}
	}
}

// TestLostDatabase loses the database of a server whose instance runs: missing, empty, and
// another server's. The server does not start, says what to do, and leaves the instance alone;
// with its database it serves as before. With a new database, which is made only for whoever
// asks for it, the instance still runs, until its removal is asked for.
func TestLostDatabase(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	svc := s.RunningService("steady", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Health: harness.QuickHealthCheck()})
	before := s.BootIDs(svc, 1)
	process := s.InstanceProcesses("app")[0]
	s.Kill()
	own := takeDatabase(s)

	other := harness.Serve(t)
	other.Stop()
	foreign := database{filepath.Join(s.DataDir, "slipway.db"): nil}
	for path, content := range takeDatabase(other) {
		foreign[filepath.Join(s.DataDir, filepath.Base(path))] = content
	}
	if err := os.RemoveAll(other.DataDir); err != nil { // it begins anew at the end
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		db   database
		want string
	}{
		{"missing", nil, "is missing"},
		{"empty", database{filepath.Join(s.DataDir, "slipway.db"): nil}, "is empty"},
		{"another server's", foreign, "is another one"},
	} {
		c.db.put(s)
		s.StartFails(c.want)
		for _, want := range []string{"1 instances", "slipway restore", "--new-database"} {
			if !s.Output.Contains(want) {
				t.Errorf("%s: the server does not say %q:\n%s", c.name, want, s.Output)
			}
		}
		if !process.Alive() {
			t.Fatalf("%s: the instance was ended", c.name)
		}
	}
	own.put(s)
	s.Start()
	if after := s.BootIDs(svc, 1); len(after) != 1 || after[0] != before[0] {
		t.Errorf("with its database the instance was %v and is %v", before, after)
	}

	s.Stop()
	takeDatabase(s)
	s.Env = append(os.Environ(), "SLIPWAY_NEW_DATABASE=true")
	s.Start()
	s.Env = nil
	harness.Eventually(t, "the instance is named", func() (bool, string) {
		return s.Output.Contains("are left alone"), s.Output.String()
	})
	fresh := s.RunningService("fresh", harness.Spec{Image: s.Push(harness.WebImage(t, "2"), "fresh:1"), Health: harness.QuickHealthCheck()})
	s.Kill()
	s.Start() // without the flag: it is the directory's database by now
	if code, body, err := s.Request(fresh, "/"); err != nil || code != http.StatusOK {
		t.Errorf("the new service answers %d %q, %v", code, body, err)
	}
	if !process.Alive() {
		t.Fatal("the new database has ended an instance that it does not know")
	}
	s.Stop()
	s.Env = append(os.Environ(), "SLIPWAY_REMOVE_STRAYS=true")
	s.Start()
	s.Env = nil
	harness.Eventually(t, "the instance is removed", func() (bool, string) { return !process.Alive(), s.Output.String() })
}

// TestDatabaseSetBack puts an older copy of the database in its place: the instance of a
// service that the copy does not know runs on, and that of one that it knows serves.
func TestDatabaseSetBack(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	image := s.Push(harness.WebImage(t, "1"), "steady:1")
	known := s.RunningService("known", harness.Spec{Image: image, Health: harness.QuickHealthCheck()})
	before := s.BootIDs(known, 1)
	first := s.InstanceProcesses("app")[0]
	s.Stop()
	old := takeDatabase(s)
	old.put(s)
	s.Start()
	s.RunningService("later", harness.Spec{Image: image, Health: harness.QuickHealthCheck()})
	var later harness.Process
	for _, p := range s.InstanceProcesses("app") {
		if p.Pid != first.Pid {
			later = p
		}
	}
	s.Stop()
	old.put(s)
	s.Start()
	harness.Eventually(t, "the instance is named", func() (bool, string) {
		return s.Output.Contains("are left alone"), s.Output.String()
	})
	if after := s.BootIDs(known, 1); len(after) != 1 || after[0] != before[0] {
		t.Errorf("the instance of the service that is known was %v and is %v", before, after)
	}
	if !later.Alive() {
		t.Error("the instance of a service that the copy does not know was ended")
	}
	s.Stop()
	s.Env = append(os.Environ(), "SLIPWAY_REMOVE_STRAYS=true")
	s.Start()
	s.Env = nil
	harness.Eventually(t, "the instance is removed", func() (bool, string) { return !later.Alive(), s.Output.String() })
}
