package registry

import (
	"net/http"
	"time"
)

// getBlob answers GET, with ranges, and HEAD.
func (c *call) getBlob() error {
	f, err := c.cfg.Images.RepositoryBlob(c.repo, c.ref)
	if err != nil {
		return blobError(err)
	}
	defer f.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", c.ref)
	h.Set("Etag", `"`+c.ref+`"`)
	// A zero time: content under this digest never changes.
	http.ServeContent(c.w, c.r, "", time.Time{}, f)
	return nil
}

func (c *call) deleteBlob() error {
	if err := c.cfg.Images.DeleteBlob(c.repo, c.ref); err != nil {
		return blobError(err)
	}
	c.note(c.r, Note{Action: mayRemove, Repository: c.repo, Reference: c.ref})
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// blobError translates an error about a blob, not about a manifest.
func blobError(err error) error {
	f := clientFault(err, "BLOB_UNKNOWN")
	if f == nil {
		return err
	}
	if f.code == "MANIFEST_INVALID" {
		f.code = "DIGEST_INVALID"
	}
	return f
}
