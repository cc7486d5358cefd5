package registry

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway/internal/image"
)

func (c *call) getManifest() error {
	if !strings.Contains(c.ref, ":") && image.CheckTag(c.ref) != nil {
		// The specification says that a text that can't be a tag is unknown,
		// not invalid.
		return image.ErrNotFound
	}
	m, err := c.cfg.Images.Manifest(c.repo, c.ref)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", m.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(m.Body)))
	h.Set("Docker-Content-Digest", m.Digest)
	h.Set("Etag", `"`+m.Digest+`"`)
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodGet {
		_, err = c.w.Write(m.Body)
	}
	return err
}

func (c *call) putManifest() error {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, image.MaxManifest))
	if _, large := errors.AsType[*http.MaxBytesError](err); err != nil && !large {
		return errBroken
	}
	if err != nil {
		return err
	}
	mediaType, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		mediaType = "" // the manifest itself may name it
	}
	m, err := c.cfg.Images.PutManifest(c.r.Context(), c.repo, c.ref, mediaType, body)
	if errors.Is(err, image.ErrNotFound) {
		return &fault{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "The manifest refers to content that has not been pushed: " + err.Error()}
	}
	if err != nil {
		return err
	}
	c.note(c.r, Note{Action: mayPut, Repository: c.repo, Reference: c.ref, Digest: m.Digest})
	if !strings.Contains(c.ref, ":") && c.cfg.Pushed != nil {
		if err := c.cfg.Pushed(c.r.Context(), c.repo, c.ref, m.Digest); err != nil {
			return err
		}
	}
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.repo+"/manifests/"+m.Digest)
	h.Set("Docker-Content-Digest", m.Digest)
	if m.Subject != "" {
		h.Set("Oci-Subject", m.Subject)
	}
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

func (c *call) deleteManifest() error {
	remove := c.cfg.Images.DeleteTag
	if strings.Contains(c.ref, ":") {
		remove = c.cfg.Images.DeleteManifest
	}
	if err := remove(c.repo, c.ref); err != nil {
		return err
	}
	c.note(c.r, Note{Action: mayRemove, Repository: c.repo, Reference: c.ref})
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

func (c *call) listReferrers() error {
	list, err := c.cfg.Images.Referrers(c.repo, c.ref)
	if err != nil {
		return err
	}
	if kind := c.r.URL.Query().Get("artifactType"); kind != "" {
		kept := make([]v1.Descriptor, 0, len(list))
		for _, d := range list {
			if d.ArtifactType == kind {
				kept = append(kept, d)
			}
		}
		list = kept
		c.w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	if list == nil {
		list = []v1.Descriptor{}
	}
	c.w.Header().Set("Content-Type", string(types.OCIImageIndex))
	return c.json(http.StatusOK, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
}
