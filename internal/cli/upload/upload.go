// Package upload sends a directory of source code to a server, for `slipway up` and
// `slipway check`: it finds out how the directory is built, as package plan does, and
// sends what the server lacks.
//
// It starts nothing on the server: the verbs do, with the URL that it returns.
package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/plan"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/detect"
	"github.com/openslipway/slipway/internal/source/upload"
)

// Directory is a directory that can be sent.
type Directory struct {
	Graph     detect.Graph
	Directory string // that is built, from the root, with slashes; "" for the root itself
	Files     int
	Bytes     int64

	root     *os.Root
	manifest upload.Manifest
	made     map[string][]byte // contents of files that only the upload has, by path
}

// Open reads a directory and finds out how it is built: by the files that are sent, as
// the server does. Where the user has to choose, the choice is sent as an apprunner.yaml,
// which the directory does not get. Its errors are *client.Problem, or of reading files.
func Open(r plan.Request) (*Directory, error) {
	root, err := os.OpenRoot(r.Path)
	if err != nil {
		return nil, &client.Problem{Text: fmt.Sprintf("%s can't be opened: %v", r.Path, err), Err: err}
	}
	d := &Directory{root: root, made: map[string][]byte{}}
	if err := d.read(r); err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the directory.
func (d *Directory) Close() error { return d.root.Close() }

func (d *Directory) read(r plan.Request) (err error) {
	if d.manifest, err = upload.Scan(d.root, upload.DefaultLimits()); err != nil {
		return problem(err)
	}
	if len(d.manifest.Files) == 0 {
		return &client.Problem{Text: r.Path + " has no files to send", Hint: "It is empty, or its .gitignore or .dockerignore exclude everything."}
	}
	r.Files = sent(d.root.FS(), d.manifest)
	a, err := plan.Read(r)
	if err != nil {
		return err
	}
	below, err := filepath.Rel(filepath.Clean(r.Path), a.Path)
	if err != nil {
		return err
	}
	if below != "." {
		d.Directory = filepath.ToSlash(below)
	}
	if a.Chosen && a.Result.Configuration == "" {
		if err := d.add(path.Join(d.Directory, config.FileName), detect.Configuration(a.Result)); err != nil {
			return err
		}
	}
	d.Graph, d.Files, d.Bytes = a.Graph(), len(d.manifest.Files), d.manifest.Bytes()
	return nil
}

// add adds a file that the directory does not have.
func (d *Directory) add(name string, content []byte) error {
	sum := sha256.Sum256(content)
	f := upload.File{Path: name, Size: int64(len(content)), Digest: hex.EncodeToString(sum[:])}
	i, there := slices.BinarySearchFunc(d.manifest.Files, name, func(f upload.File, name string) int { return strings.Compare(f.Path, name) })
	if there {
		return fmt.Errorf("there is a file %s already", name)
	}
	d.manifest.Files = slices.Insert(d.manifest.Files, i, f)
	d.made[name] = content
	return problem(d.manifest.Check(upload.DefaultLimits()))
}

// problem makes an error for the command line of one about a file.
func problem(err error) error {
	if e, ok := errors.AsType[*slipway.Error](err); ok {
		text, hint, _ := strings.Cut(e.Message, ". ")
		return &client.Problem{Text: strings.TrimSuffix(text, "."), Hint: hint, Err: err}
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return &client.Problem{Text: fmt.Sprintf("%s can't be read: %v", e.Path, e.Err), Hint: "Make it readable, or exclude it by .gitignore or .dockerignore.", Err: err}
	}
	return err
}

// Sent says what was sent.
type Sent struct {
	URL   string // for a code repository
	Files int    // whose contents the server lacked
	Bytes int64
}

const (
	batchBytes = 4 << 20 // of the contents of a call
	batchFiles = 500
	attempts   = 3 // at an upload: a file that is forgotten meanwhile is sent again
)

// Send sends what the server lacks of the directory. It calls progress with the bytes
// that were sent and those that are to be.
func (d *Directory) Send(ctx context.Context, c *client.Client, progress func(done, total int64)) (Sent, error) {
	files := make([]client.UploadFile, len(d.manifest.Files))
	for i, f := range d.manifest.Files {
		files[i] = client.UploadFile{Path: f.Path, Size: f.Size, Sha256: f.Digest, Executable: f.Executable, Link: f.Link}
	}
	var out Sent
	for range attempts {
		url, missing, err := c.CreateUpload(ctx, files)
		if err != nil || url != "" {
			out.URL = url
			return out, err
		}
		s := sender{d: d, client: c, progress: progress, total: d.bytesOf(missing), done: out.Bytes}
		s.total += out.Bytes
		err = s.send(ctx, missing)
		out.Files, out.Bytes = out.Files+s.files, s.done
		if err != nil {
			return out, err
		}
	}
	return out, &client.Problem{Text: "the server loses files as they are sent", Hint: "Run the command again."}
}

// bytesOf returns the size of the contents with these digests.
func (d *Directory) bytesOf(digests []string) (n int64) {
	want := setOf(digests)
	for _, f := range d.manifest.Files {
		if want[f.Digest] {
			n += f.Size
			delete(want, f.Digest)
		}
	}
	return n
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

// sender sends contents in batches.
type sender struct {
	d        *Directory
	client   *client.Client
	progress func(done, total int64)

	batch       []client.UploadContent
	pending     int64 // bytes of the batch
	files       int
	done, total int64
}

func (s *sender) send(ctx context.Context, missing []string) error {
	want := setOf(missing)
	for _, f := range s.d.manifest.Files {
		if f.Digest == "" || !want[f.Digest] {
			continue
		}
		delete(want, f.Digest) // several files may have it
		if err := s.file(ctx, f); err != nil {
			return err
		}
		s.files++
	}
	return s.flush(ctx)
}

// file sends a file's content, in parts if it is large.
func (s *sender) file(ctx context.Context, f upload.File) error {
	r, err := s.d.open(f.Path)
	if err != nil {
		return problem(err)
	}
	defer r.Close()
	for offset := int64(0); ; {
		n := min(f.Size-offset, batchBytes)
		if s.pending+n > batchBytes || len(s.batch) >= batchFiles {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return &client.Problem{Text: f.Path + " has changed while it was sent", Hint: "Run the command again.", Err: err}
		}
		s.batch = append(s.batch, client.UploadContent{Sha256: f.Digest, Size: f.Size, Offset: offset, Data: data})
		s.pending += n
		if offset += n; offset == f.Size {
			return nil
		}
	}
}

// flush sends the batch.
func (s *sender) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	err := s.client.PutUploadContents(ctx, s.batch)
	if api, ok := errors.AsType[smithy.APIError](err); ok && strings.Contains(api.ErrorMessage(), "is another one") {
		return &client.Problem{Text: "a file has changed while it was sent", Hint: "Run the command again.", Err: err}
	}
	if err != nil {
		return err
	}
	s.done += s.pending
	s.batch, s.pending = nil, 0
	s.progress(s.done, s.total)
	return nil
}

// open opens a file that is sent.
func (d *Directory) open(name string) (io.ReadCloser, error) {
	if content, ok := d.made[name]; ok {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	return d.root.Open(filepath.FromSlash(name))
}
