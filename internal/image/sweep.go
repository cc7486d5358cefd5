package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// collection removes what one marking pass did not reach.
type collection struct {
	s      *Store
	reach  *reach
	before time.Time // content used later stays
	freed  Freed
}

// each calls f for every entry of dir whose last use is before the collection's
// limit, with the digest in its name.
func (c *collection) each(ctx context.Context, dir string, f func(h v1.Hash, path string) error) error {
	names, err := readDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		h, err := parseDigest("sha256:" + n)
		if err != nil {
			c.s.name(dir+"/"+n, errors.New("it has no digest for a name: it is left alone"))
			continue
		}
		errs = append(errs, f(h, dir+"/"+n)) // one that fails does not keep the others
	}
	return errors.Join(errs...)
}

// drop calls remove unless the file at path was used lately or its key is held.
// It checks both last, since both may change during a collection.
func (c *collection) drop(key, path string, remove func(size int64) error) error {
	_, err := c.s.leases.unless(key, func() error {
		fi, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || fi.ModTime().After(c.before) {
			return err
		}
		return remove(fi.Size())
	})
	return err
}

func (c *collection) manifests(ctx context.Context) error {
	repos, err := c.s.directories(manifestDir)
	if err != nil {
		return err
	}
	for _, repo := range repos {
		err := c.each(ctx, c.s.repositoryPath(repo, manifestDir), func(h v1.Hash, path string) error {
			if c.reach.blobs[h] {
				return nil
			}
			c.s.repositories.Lock()
			defer c.s.repositories.Unlock()
			return c.drop(blobKey(h), path, func(int64) error {
				c.freed.Manifests++
				return c.s.unlink(repo, h)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// members takes from repositories the blobs that no manifest of theirs refers to any more.
// It comes before blobs, so that a blob never goes while a repository still has it.
func (c *collection) members(ctx context.Context) error {
	repos, err := c.s.directories(blobsDir)
	if err != nil {
		return err
	}
	for _, repo := range repos {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := c.s.sweepMembers(repo, c.before); err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) images(ctx context.Context) error {
	return c.each(ctx, c.s.path("images"), func(h v1.Hash, path string) error {
		if c.reach.blobs[h] {
			return nil
		}
		return c.drop(blobKey(h), path, func(int64) error {
			c.freed.Images++
			return os.Remove(path)
		})
	})
}

func (c *collection) blobs(ctx context.Context) error {
	return c.each(ctx, c.s.path("blobs/sha256"), func(h v1.Hash, path string) error {
		if c.reach.blobs[h] {
			return nil
		}
		return c.drop(blobKey(h), path, func(size int64) error {
			c.freed.Blobs++
			c.freed.Bytes += size
			return os.Remove(path)
		})
	})
}

func (c *collection) layers(ctx context.Context) error {
	return c.each(ctx, c.s.path("layers"), func(h v1.Hash, path string) error {
		if c.reach.layers[h] {
			return nil
		}
		var aside string
		err := c.drop(layerKey(h), path, func(int64) error {
			n, err := c.s.readLayerNote(h)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				c.s.name("layer "+h.String(), err) // only its size is not known
			}
			c.freed.Layers++
			c.freed.Bytes += n.Bytes
			aside, err = c.s.setLayerAside(h)
			return err
		})
		if err != nil || aside == "" {
			return err
		}
		return os.RemoveAll(aside) // slow: no lock is held any more
	})
}
