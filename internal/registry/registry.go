package registry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/image"
)

// Config configures the registry.
type Config struct {
	Images *image.Store
	Log    *slog.Logger

	// Authenticate tells whether the credentials are valid. An error is the
	// server's own failure, not the client's.
	Authenticate func(ctx context.Context, user, password string) (bool, error)

	// Permit tells whether the sender of an authenticated request may do the
	// action, by its ECR name ("ecr:PutImage"), to the repository, "" for all
	// of them. refusal is a sentence for the client, "" to permit; an error is
	// the server's own failure. nil permits everything.
	Permit func(r *http.Request, action, repository string) (refusal string, err error)

	// Pushed is called after a tag was given a manifest, before the client is
	// answered. May be nil.
	Pushed func(ctx context.Context, repository, tag, digest string) error

	// User names the sender of an authenticated request, for what each user may have
	// of the registry. nil takes the name of the login.
	User func(r *http.Request) string

	// Note is told what is worth a record: logins, pushes and deletions before the
	// client is answered, and refusals. May be nil.
	Note func(r *http.Request, n Note)

	MaxBlob int64         // bytes; 10 GiB when 0
	Uploads int           // in progress at once; 256 when 0. One user may have a quarter.
	Idle    time.Duration // without a request, an upload expires after this; 30 minutes when 0
	Rest    time.Duration // without a request, an upload may give way to another after this; 1 minute when 0
	Stall   time.Duration // a client that sends and receives nothing is cut off after this; 1 minute when 0
}

// Note is what a request did, or what it was refused.
type Note struct {
	Action     string // of ECR, such as "ecr:PutImage"; "" for a login
	Repository string
	Reference  string // tag or digest
	Digest     string // of a pushed manifest
	Refusal    string // "" if it was not refused
}

func (g *Registry) note(r *http.Request, n Note) {
	if g.cfg.Note != nil {
		g.cfg.Note(r, n)
	}
}

// Registry is an http.Handler for everything below /v2/.
type Registry struct {
	cfg     Config
	uploads uploads
}

// New checks cfg and returns the handler.
func New(cfg Config) (*Registry, error) {
	if cfg.Images == nil || cfg.Log == nil || cfg.Authenticate == nil {
		return nil, errors.New("registry: images, log and authentication are required")
	}
	if cfg.MaxBlob == 0 {
		cfg.MaxBlob = 10 << 30
	}
	if cfg.Uploads == 0 {
		cfg.Uploads = 256
	}
	if cfg.Idle == 0 {
		cfg.Idle = 30 * time.Minute
	}
	if cfg.Rest == 0 {
		cfg.Rest = time.Minute
	}
	if cfg.Stall == 0 {
		cfg.Stall = time.Minute
	}
	return &Registry{cfg: cfg, uploads: uploads{most: cfg.Uploads, share: max(1, cfg.Uploads/4), idle: cfg.Idle, rest: cfg.Rest, byID: map[string]*session{}}}, nil
}

// call is one parsed request.
type call struct {
	*Registry
	w    http.ResponseWriter
	r    *http.Request
	repo string
	ref  string // tag, digest or upload
}

// ServeHTTP answers a request.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if err := g.authenticate(r); err != nil {
		if _, ok := errors.AsType[*fault](err); ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="slipway"`)
		}
		g.fail(w, r, err)
		return
	}
	c := &call{Registry: g, w: w, r: r}
	end := c.guardStalls()
	defer end()
	if err := c.serve(); err != nil {
		g.fail(c.w, r, err)
	}
}

func (g *Registry) authenticate(r *http.Request) error {
	user, password, ok := r.BasicAuth()
	if !ok {
		return errUnauthorized
	}
	ok, err := g.cfg.Authenticate(r.Context(), user, password)
	if err == nil && !ok {
		g.note(r, Note{Refusal: "The password is wrong, or nobody has the user name."})
		return errUnauthorized
	}
	return err
}

// methods maps a request's method to its answer.
type methods map[string]answer

// answer answers a request that is permitted.
type answer struct {
	action string
	serve  func(*call) error
}

// The actions of ECR, which policies name.
const (
	mayDescribe = "ecr:DescribeRepositories"
	mayList     = "ecr:ListImages"
	mayRead     = "ecr:BatchGetImage"
	mayProbe    = "ecr:BatchCheckLayerAvailability"
	mayDownload = "ecr:GetDownloadUrlForLayer"
	mayBegin    = "ecr:InitiateLayerUpload"
	mayContinue = "ecr:UploadLayerPart"
	mayFinish   = "ecr:CompleteLayerUpload"
	mayPut      = "ecr:PutImage"
	mayRemove   = "ecr:BatchDeleteImage"
)

// routes are tried in order. A repository's name may contain any of these
// words, so a path is cut at the last one; if two match, the first in this list
// wins.
var routes = []struct {
	mark    string // between the repository and the reference
	exact   bool   // no reference follows
	methods methods
}{
	{"/blobs/uploads/", false, methods{
		"POST": {mayBegin, (*call).startUpload}, "GET": {mayContinue, (*call).uploadStatus}, "PATCH": {mayContinue, (*call).appendUpload},
		"PUT": {mayFinish, (*call).finishUpload}, "DELETE": {mayContinue, (*call).cancelUpload},
	}},
	{"/blobs/uploads", true, methods{"POST": {mayBegin, (*call).startUpload}}},
	{"/blobs/", false, methods{"GET": {mayDownload, (*call).getBlob}, "HEAD": {mayProbe, (*call).getBlob}, "DELETE": {mayRemove, (*call).deleteBlob}}},
	{"/manifests/", false, methods{
		"GET": {mayRead, (*call).getManifest}, "HEAD": {mayRead, (*call).getManifest}, "PUT": {mayPut, (*call).putManifest}, "DELETE": {mayRemove, (*call).deleteManifest},
	}},
	{"/referrers/", false, methods{"GET": {mayRead, (*call).listReferrers}}},
	{"/tags/list", true, methods{"GET": {mayList, (*call).listTags}}},
}

// permit returns nil if the caller may do the action to the call's repository.
func (c *call) permit(action string) error {
	refusal, err := c.refusal(action, c.repo)
	if err == nil && refusal != "" {
		c.note(c.r, Note{Action: action, Repository: c.repo, Reference: c.ref, Refusal: refusal})
		err = &fault{http.StatusForbidden, "DENIED", refusal}
	}
	return err
}

// refusal says why the caller may not do the action to a repository, "" if it may.
func (c *call) refusal(action, repo string) (string, error) {
	if c.cfg.Permit == nil {
		return "", nil
	}
	return c.cfg.Permit(c.r, action, repo)
}

func (c *call) serve() error {
	path, ok := strings.CutPrefix(c.r.URL.Path, "/v2")
	if !ok {
		return errUnknownPath
	}
	switch strings.Trim(path, "/") {
	case "":
		c.note(c.r, Note{})
		return c.json(http.StatusOK, struct{}{})
	case "_catalog":
		if err := c.permit(mayDescribe); err != nil {
			return err
		}
		return c.listRepositories()
	}
	for _, route := range routes {
		i := strings.LastIndex(path, route.mark)
		if i <= 0 || path[0] != '/' {
			continue
		}
		c.repo, c.ref = path[1:i], path[i+len(route.mark):]
		if strings.Contains(c.ref, "/") || route.exact != (c.ref == "") && route.mark != "/blobs/uploads/" {
			continue
		}
		if err := image.CheckRepository(c.repo); err != nil {
			return &fault{http.StatusBadRequest, "NAME_INVALID", err.Error()}
		}
		a, ok := route.methods[c.r.Method]
		if !ok {
			return &fault{http.StatusMethodNotAllowed, "UNSUPPORTED", "The method " + c.r.Method + " is not allowed here."}
		}
		if err := c.permit(a.action); err != nil {
			return err
		}
		return a.serve(c)
	}
	return errUnknownPath
}
