package embedded_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFileRights runs programs of the image with the rights of their files: an owner's, or
// capabilities, within the instance's user namespace.
func TestFileRights(t *testing.T) {
	t.Parallel()
	const openshift = 1000680000
	s := newFixture(t, withLayer(t, func(dir string) {
		program, err := os.ReadFile(filepath.Join(built.probe, "bin/probe"))
		if err != nil {
			t.Fatal(err)
		}
		for name, owner := range map[string]int{"root": 0, "large": openshift, "capable": 0} {
			path := filepath.Join(dir, name)
			mode := uint32(0o6755)
			if name == "capable" {
				mode = 0o755
			}
			writeLayerFile(t, dir, name, string(program), 0o755)
			if err := os.Chown(path, owner, owner); err != nil {
				t.Fatal(err)
			}
			if err := unix.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		const killAndBind = "\x01\x00\x00\x02\x20\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		if err := unix.Setxattr(filepath.Join(dir, "capable"), "security.capability", []byte(killAndBind), 0); err != nil {
			t.Fatal(err)
		}
		writeLayerFile(t, dir, "secret", "of a large user", 0o600)
		if err := os.Chown(filepath.Join(dir, "secret"), openshift, openshift); err != nil {
			t.Fatal(err)
		}
	}))
	run := func(program, user string) map[string]string {
		spec := probe("id", "status CapPrm CapEff CapBnd", "read /secret", "write /secret mine")
		spec.Process.Argv[0], spec.Process.User = program, user
		return s.run(spec)
	}
	const none, all, two = "0000000000000000", "00000000a80425fb", "0000000000000420"
	s.expect(run("/root", "web"), map[string]string{"uid": "1000 0", "gid": "1001 0", "CapPrm": all, "CapEff": all, "CapBnd": all, "/secret": `"of a large user"`, "write /secret": "ok"})
	s.expect(run("/large", "web"), map[string]string{"uid": "1000 1000680000", "gid": "1001 1000680000", "CapEff": none, "/secret": `"of a large user"`, "write /secret": "ok"})
	s.expect(run("/capable", "web"), map[string]string{"uid": "1000 1000", "CapPrm": two, "CapEff": two, "CapBnd": all, "/secret": "EACCES"})
	s.expect(run("/bin/probe", "web"), map[string]string{"uid": "1000 1000", "CapPrm": none, "/secret": "EACCES", "write /secret": "EACCES"})
	s.expect(run("/bin/probe", "1000680000"), map[string]string{"/secret": `"of a large user"`, "write /secret": "ok"})
}
