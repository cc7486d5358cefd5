package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/imagefile"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newImageCommand(m *Main) *cobra.Command {
	cmd := group("image", "Manage images of the server's registry", `Image manages the images of the server's registry. Any registry client can push to
it: the registry is at the endpoint's host and port, the user is an access key's
id and the password is its secret.`)
	cmd.AddCommand(newImageImportCommand(m), newImageLsCommand(m), newImageRmCommand(m), newImagePruneCommand(m))
	return cmd
}

func newImageImportCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE|DIR [NAME[:TAG]]",
		Short: "Import an image file into the registry",
		Long: `Import pushes an image into the server's registry: an OCI layout directory, an OCI
archive or the output of ` + "`docker save`" + `, compressed or not. The default NAME is the
one in the file, or else the file's own.`,
		Example: "  docker save shop:1.0 -o shop.tar\n  slipway image import shop.tar\n  slipway up shop:1.0",
		Args:    argCount(1, 2, "a file or directory and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 1 {
				name = args[1]
			}
			return m.importImage(cmd.Context(), args[0], name)
		},
	}
}

// imported is what `image import --json` prints.
type imported struct{ Repository, Tag, Digest string }

func (m *Main) importImage(ctx context.Context, path, name string) error {
	img, err := openImage(path)
	if err != nil {
		return err
	}
	defer img.Close()
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	repository, tag := img.Name, img.Tag
	if name != "" {
		repository, tag = client.SplitName(name)
	}
	if tag == "" {
		tag = "latest"
	}
	if err := m.push(ctx, c, img, path, repository, tag); err != nil {
		return err
	}
	if m.json {
		return m.printJSON(imported{repository, tag, img.Digest})
	}
	_, err = fmt.Fprintf(m.Stdout, "%s:%s %s\n", repository, tag, img.Digest)
	return err
}

// push uploads an opened image and shows its progress.
func (m *Main) push(ctx context.Context, c *client.Client, img *imagefile.Image, path, repository, tag string) error {
	p := m.progress()
	defer p.Clear()
	begun := m.Now()
	var size int64
	digest, err := c.Registry.Push(ctx, img, repository, tag, func(done, total int64) {
		size = total
		p.Status("Importing %s  %s of %s", path, term.Bytes(done), term.Bytes(total))
	})
	if err != nil {
		return err
	}
	if size == 0 {
		p.Say(term.Plain, "Imported %s: the registry already had it (%s)", path, shortDigest(digest))
		return nil
	}
	p.Say(term.Plain, "Imported %s, %s in %s (%s)", path, term.Bytes(size), term.Took(m.Now().Sub(begun)), shortDigest(digest))
	return nil
}

// openImage opens an image file. Its errors hint at how to make one.
func openImage(path string) (*imagefile.Image, error) {
	img, err := imagefile.Open(path)
	switch {
	case err == nil:
		return img, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &client.Problem{Text: "there is no file or directory " + path, Err: err}
	case errors.Is(err, imagefile.ErrNotImage):
		hint := "An image is an OCI layout directory, an OCI archive or the output of `docker save`."
		if _, serr := os.Stat(filepath.Join(path, "Dockerfile")); serr == nil {
			hint += " This directory has a Dockerfile: build it first, for example\n" +
				"  docker build -t app " + path + " && docker save app -o app.tar && slipway up app.tar"
		}
		return nil, &client.Problem{Text: err.Error(), Hint: hint, Err: err}
	}
	return nil, &client.Problem{Text: err.Error(), Err: err}
}

// shortDigest returns the first 12 digits of a digest, enough for people to
// compare.
func shortDigest(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return algorithm + ":" + hex[:min(12, len(hex))]
}

func newImageLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the tagged images of the registry",
		Long: `Ls lists the tagged images of the server's registry. With --json it prints
{"Images": [{"Repository", "Tag", "Digest", "Size" in bytes, "PushedAt" and
"CreatedAt" in seconds since 1970}]}. Reproducible builds leave out CreatedAt.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.images(cmd.Context()) },
	}
}

// imageRecord is an image in `image ls --json`.
type imageRecord struct {
	Repository string
	Tag        string
	Digest     string
	Size       int64
	PushedAt   *int64 `json:",omitempty"` // seconds since 1970
	CreatedAt  *int64 `json:",omitempty"` // seconds since 1970
}

func (m *Main) images(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	images, err := c.Registry.Images(ctx)
	if err != nil {
		return err
	}
	pushed := map[string]time.Time{} // by repository@digest
	stored, err := c.StoredImages(ctx)
	if err != nil && !client.Denied(err) {
		return err
	}
	for _, s := range stored {
		pushed[s.Repository+"@"+s.Digest] = s.PushedAt
	}
	if m.json {
		return m.printJSON(struct{ Images []imageRecord }{imageRecords(images, pushed)})
	}
	if len(images) == 0 {
		m.progress().Say(term.Plain, "No images yet. `slipway image import` adds one, and so does any registry client.")
		return nil
	}
	t := term.Table{Head: []string{"REPOSITORY", "TAG", "DIGEST", "SIZE", "PUSHED"}}
	now := m.Now()
	for _, i := range images {
		t.Add(
			term.Cell{Text: i.Repository},
			term.Cell{Text: i.Tag},
			term.Cell{Text: shortDigest(i.Digest)},
			term.Cell{Text: term.Bytes(i.Size)},
			term.Cell{Text: term.Ago(now, pushed[i.Repository+"@"+i.Digest])},
		)
	}
	return t.Write(m.Stdout, m.outStyle())
}

func imageRecords(images []client.Image, pushed map[string]time.Time) []imageRecord {
	records := []imageRecord{}
	for _, i := range images {
		r := imageRecord{Repository: i.Repository, Tag: i.Tag, Digest: i.Digest, Size: i.Size}
		if !i.CreatedAt.IsZero() {
			at := i.CreatedAt.Unix()
			r.CreatedAt = &at
		}
		if at := pushed[i.Repository+"@"+i.Digest]; !at.IsZero() {
			seconds := at.Unix()
			r.PushedAt = &seconds
		}
		records = append(records, r)
	}
	return records
}

// checkImageFile checks what up is given as an image, if it is a file or a directory,
// before a server is started for it.
func checkImageFile(path string) error {
	if _, err := os.Stat(path); err != nil || isSource(path) {
		return nil // a name, a path whose absence is told later, or code
	}
	img, err := openImage(path)
	if err != nil {
		return err
	}
	return img.Close()
}
