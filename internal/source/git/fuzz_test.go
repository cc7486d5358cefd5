package git

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

func FuzzParseReferences(f *testing.F) {
	f.Add([]byte("1111111111111111111111111111111111111111\trefs/heads/main\n"))
	f.Add([]byte("ref: refs/heads/main\tHEAD\n1111111111111111111111111111111111111111\tHEAD"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for name, id := range parseReferences(out) {
			if name == "" || !commitID.MatchString(id) || strings.ContainsAny(name, "\n\x00") {
				t.Errorf("%q is at %q", name, id)
			}
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("remote: Counting objects\rReceiving objects:  45% (9/20)\rReceiving objects: 100% (20/20), done.\nfatal: no\n"), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, cut uint8) {
		m := &messages{progress: func(line string) {
			if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || len(line) > 40 {
				t.Errorf("progress %q", line)
			}
		}}
		for chunk := range chunks(text, cut) {
			_, _ = m.Write(chunk)
		}
		m.flush()
		if m.text.Len() > maxStderr {
			t.Errorf("%d bytes are kept", m.text.Len())
		}
	})
}

// chunks cuts a text in pieces of a size.
func chunks(text []byte, size uint8) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		n := int(size)%16 + 1
		for len(text) > n {
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
		yield(text)
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range signs {
		f.Add([]byte("fatal: " + s.text + "\n"))
	}
	f.Add([]byte("remote: \x1b[31mRepository not found.\nfatal: repository 'https://h/p/' not found\n"))
	f.Fuzz(func(t *testing.T, stderr []byte) {
		kind, line := classify(stderr)
		if sentences[kind] == "" {
			t.Errorf("no sentence for %q", kind)
		}
		if len(line) > maxShown || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("line %q", line)
		}
	})
}

func FuzzListing(f *testing.F) {
	id := strings.Repeat("a", 40)
	f.Add([]byte("100644 blob "+id+"    12\tdir/file\x00040000 tree "+id+"       -\tdir\x00160000 commit "+id+"       -\tm\x00"), uint8(7))
	f.Add([]byte("100644 blob "+id+" 99999999999\t../x\x00"), uint8(1))
	f.Fuzz(func(t *testing.T, out []byte, cut uint8) {
		read := func(size uint8) (*listing, error) {
			s := &session{git: &Git{cfg: Config{MaxTree: 1000, MaxFiles: 10}}, bytes: 1000, entries: 10}
			l := &listing{session: s, directory: "dir", gitlinks: map[string]string{}}
			for chunk := range chunks(out, size) {
				if _, err := l.Write(chunk); err != nil {
					return l, err
				}
			}
			return l, nil
		}
		l, err := read(cut)
		whole, wholeErr := read(15)
		if (err == nil) != (wholeErr == nil) || err == nil && (l.session.bytes != whole.session.bytes || l.tree != whole.tree) {
			t.Errorf("by pieces: %v, %v", err, wholeErr)
		}
		if err != nil {
			return
		}
		if l.session.bytes < 0 || l.session.entries < 0 || len(l.rest) > maxEntry {
			t.Errorf("limits are passed: %+v", l.session)
		}
		for p := range l.gitlinks {
			if checkPath(p) != "" {
				t.Errorf("path %q", p)
			}
		}
	})
}

func FuzzParseModules(f *testing.F) {
	f.Add([]byte("submodule.lib.path\nlib\x00submodule.lib.url\n../lib.git\x00"), "https://h/a/b")
	f.Add([]byte("submodule.a.b.path\nx\x00submodule.a.b.url\next::sh\x00"), "git@h:a/b")
	f.Fuzz(func(t *testing.T, out []byte, parent string) {
		up, err := parseURL(parent)
		if err != nil {
			return
		}
		for _, given := range parseModules(out) {
			target, err := moduleURL(parent, given)
			if err != nil {
				continue
			}
			u, err := parseURL(target)
			if err != nil {
				continue // refused when it is fetched
			}
			if u.Scheme != up.Scheme || !strings.EqualFold(address(u), address(up)) {
				t.Errorf("%q of %q leads to %q", given, parent, target)
			}
		}
	})
}

func FuzzParseURL(f *testing.F) {
	for _, u := range []string{"https://h/a", "git@h:a/b.git", "ssh://git@h:22/a", "file:///a", "-x", "ext::sh -c x", "https://[::1]:80/a", "ssh://-oX=y/a", "https://a:b@h/c"} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, given string) {
		u, err := parseURL(given)
		if err != nil {
			return
		}
		s := u.String()
		_, secret := u.User.Password()
		if strings.HasPrefix(given, "-") || strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-") && u.Scheme == "ssh" || secret ||
			strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) || strings.ContainsAny(sshConfig(u), "\x00\r") {
			t.Errorf("accepted %q as %q", given, s)
		}
		if n := strings.Count(sshConfig(u), "\n"); n != strings.Count(sshConfig(&url.URL{Host: "h"}), "\n") {
			t.Errorf("%q makes ssh's configuration longer", given)
		}
	})
}

func FuzzIsPointer(f *testing.F) {
	f.Add([]byte("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if isPointer(content) && (len(content) > maxPointer || !bytes.Contains(content, []byte("oid sha256:"))) {
			t.Errorf("%q is a pointer", content)
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte("tree 1111111111111111111111111111111111111111\nauthor Ada <a@b> 1 +0000\ncommitter Ada <a@b> 1700000000 +0000\n\nSubject\n\nbody"))
	f.Fuzz(func(t *testing.T, object []byte) {
		rev, ok := parseCommit(object)
		if ok && !commitID.MatchString(rev.Tree) || len(rev.Subject) > maxText || len(rev.Author) > maxText || rev.Time.Unix() < 0 ||
			strings.ContainsFunc(rev.Subject+rev.Author, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%+v, %v", rev, ok)
		}
	})
}

// exchange is a client that has sent all it will, and what it was answered.
type exchange struct {
	*bytes.Reader
	bytes.Buffer
}

func (e *exchange) Read(p []byte) (int, error)  { return e.Reader.Read(p) }
func (e *exchange) Write(p []byte) (int, error) { return e.Buffer.Write(p) }

func FuzzReadSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb"))
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		address, err := readSOCKS(&exchange{Reader: bytes.NewReader(sent)})
		if (err == nil) != (address != "") {
			t.Errorf("address %q, error %v", address, err)
		}
	})
}
