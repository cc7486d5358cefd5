package pushhook

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// kind is what a delivery is about.
type kind int

const (
	push    kind = iota
	ping         // the provider tries the webhook
	nothing      // a push that only deletes
	other        // an event that starts nothing
)

// announcement is what a push's payload says.
type announcement struct {
	urls []string // of the repository
	path string   // PROJECT/name where there is no URL
	refs []string
	at   time.Time // when it was pushed; zero when the payload does not say
}

// Limits of members of payloads.
const (
	maxURL  = 2048 // bytes
	maxName = 1024 // bytes of a reference or a project
	maxURLs = 16
)

// parse reads the payload of a delivery. Its errors repeat nothing of the payload.
func parse(d delivery, body []byte) (announcement, kind, error) {
	if d.event == "" {
		return announcement{}, other, errors.New("the header that names the event is missing")
	}
	if d.form {
		values, err := url.ParseQuery(string(body))
		if err != nil || len(values["payload"]) != 1 {
			return announcement{}, other, errors.New("the form has no payload")
		}
		body = []byte(values.Get("payload"))
	}
	switch d.format {
	case github, gitea:
		return parseGitHub(d, body)
	case gitlab:
		return parseGitLab(d, body)
	case bitbucket:
		return parseBitbucket(d, body)
	}
	return announcement{}, other, errors.New("its format is unknown")
}

// decode reads one JSON document: valid UTF-8, no name twice, nothing behind it.
// Members that are not asked for are passed over.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		if _, syntax := errors.AsType[*jsontext.SyntacticError](err); syntax {
			return errors.New("it is not a JSON document")
		}
		if e, ok := errors.AsType[*json.SemanticError](err); ok && e.JSONPointer != "" {
			return fmt.Errorf("%.100s has another type than expected", e.JSONPointer)
		}
		return errors.New("it is not a JSON object of the expected form")
	}
	return nil
}

// made checks what was read, and returns it as a push.
func (p announcement) made() (announcement, kind, error) {
	p.urls = slices.DeleteFunc(p.urls, func(u string) bool { return u == "" || len(u) > maxURL })
	p.refs = slices.DeleteFunc(p.refs, func(r string) bool {
		return len(r) > maxName || !strings.HasPrefix(r, "refs/heads/") && !strings.HasPrefix(r, "refs/tags/")
	})
	slices.Sort(p.refs)
	p.refs = slices.Compact(p.refs)
	switch {
	case len(p.urls) == 0 && p.path == "":
		return announcement{}, other, errors.New("repository has no URL")
	case len(p.refs) == 0:
		return announcement{}, nothing, nil
	}
	p.urls = p.urls[:min(len(p.urls), maxURLs)]
	return p, push, nil
}

// isZero reports whether an id means that a reference is gone.
func isZero(id string) bool { return id != "" && strings.Trim(id, "0") == "" }

// parseGitHub reads push payloads of GitHub, Gitea and Forgejo.
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
func parseGitHub(d delivery, body []byte) (announcement, kind, error) {
	if d.event == "ping" {
		return announcement{}, ping, nil
	}
	if d.event != "push" {
		return announcement{}, other, nil
	}
	var in struct {
		Ref        *string `json:"ref"`
		After      string  `json:"after"`
		Deleted    bool    `json:"deleted"`
		Repository *struct {
			CloneURL string `json:"clone_url"`
			SSHURL   string `json:"ssh_url"`
			GitURL   string `json:"git_url"`
			HTMLURL  string `json:"html_url"`

			// Seconds since 1970 in GitHub's pushes, text elsewhere.
			PushedAt jsontext.Value `json:"pushed_at"`
		} `json:"repository"`
	}
	if err := decode(body, &in); err != nil {
		return announcement{}, other, err
	}
	if in.Ref == nil || in.Repository == nil {
		return announcement{}, other, errors.New("ref and repository are required")
	}
	p := announcement{refs: []string{*in.Ref}, at: instant(in.Repository.PushedAt)}
	r := in.Repository
	p.urls = []string{r.CloneURL, r.SSHURL, r.GitURL, r.HTMLURL}
	if in.Deleted || isZero(in.After) {
		p.refs = nil
	}
	return p.made()
}

// instant reads a time as seconds since 1970 or as text; zero for anything else.
func instant(v jsontext.Value) time.Time {
	var seconds int64
	if json.Unmarshal(v, &seconds) == nil && seconds > 0 && seconds < 1<<40 {
		return time.Unix(seconds, 0)
	}
	var t time.Time
	if len(v) > 0 && json.Unmarshal(v, &t) == nil {
		return t
	}
	return time.Time{}
}

// parseGitLab reads payloads of GitLab's push and tag push events, also those of
// system hooks.
// https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events
func parseGitLab(d delivery, body []byte) (announcement, kind, error) {
	if d.event != "Push Hook" && d.event != "Tag Push Hook" && d.event != "System Hook" {
		return announcement{}, other, nil
	}
	var in struct {
		ObjectKind string  `json:"object_kind"`
		EventName  string  `json:"event_name"`
		Ref        *string `json:"ref"`
		After      string  `json:"after"`
		Project    struct {
			HTTP string `json:"git_http_url"`
			SSH  string `json:"git_ssh_url"`
			Web  string `json:"web_url"`
		} `json:"project"`
		Repository struct {
			HTTP string `json:"git_http_url"`
			SSH  string `json:"git_ssh_url"`
			URL  string `json:"url"`
		} `json:"repository"`
	}
	if err := decode(body, &in); err != nil {
		return announcement{}, other, err
	}
	of := in.ObjectKind
	if of == "" {
		of = in.EventName
	}
	if of != "push" && of != "tag_push" {
		return announcement{}, other, nil
	}
	if in.Ref == nil {
		return announcement{}, other, errors.New("ref is required")
	}
	p := announcement{refs: []string{*in.Ref}, urls: []string{
		in.Project.HTTP, in.Project.SSH, in.Project.Web, in.Repository.HTTP, in.Repository.SSH, in.Repository.URL,
	}}
	if isZero(in.After) {
		p.refs = nil
	}
	return p.made()
}

// parseBitbucket reads payloads of Bitbucket Cloud and of Bitbucket Data Center.
//
//   - https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Push
//   - https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html
func parseBitbucket(d delivery, body []byte) (announcement, kind, error) {
	switch d.event {
	case "diagnostics:ping":
		return announcement{}, ping, nil
	case "repo:push":
		return parseBitbucketCloud(body)
	case "repo:refs_changed":
		return parseBitbucketServer(body)
	}
	return announcement{}, other, nil
}

func parseBitbucketCloud(body []byte) (announcement, kind, error) {
	var in struct {
		Push *struct {
			Changes []struct {
				New *struct {
					Type string `json:"type"`
					Name string `json:"name"`
				} `json:"new"`
			} `json:"changes"`
		} `json:"push"`
		Repository struct {
			Links struct {
				HTML struct {
					Href string `json:"href"`
				} `json:"html"`
			} `json:"links"`
		} `json:"repository"`
	}
	if err := decode(body, &in); err != nil {
		return announcement{}, other, err
	}
	if in.Push == nil {
		return announcement{}, other, errors.New("push is required")
	}
	p := announcement{urls: []string{in.Repository.Links.HTML.Href}}
	for _, c := range in.Push.Changes {
		switch {
		case c.New == nil:
		case c.New.Type == "tag", c.New.Type == "annotated_tag":
			p.refs = append(p.refs, "refs/tags/"+c.New.Name)
		default: // branch, named_branch, bookmark
			p.refs = append(p.refs, "refs/heads/"+c.New.Name)
		}
	}
	return p.made()
}

func parseBitbucketServer(body []byte) (announcement, kind, error) {
	var in struct {
		Date       string `json:"date"`
		Repository *struct {
			Slug    string `json:"slug"`
			Project struct {
				Key string `json:"key"`
			} `json:"project"`
			Links struct {
				Clone []struct {
					Href string `json:"href"`
				} `json:"clone"`
			} `json:"links"`
		} `json:"repository"`
		Changes []struct {
			RefID string `json:"refId"`
			Type  string `json:"type"`
			Ref   struct {
				ID string `json:"id"`
			} `json:"ref"`
		} `json:"changes"`
	}
	if err := decode(body, &in); err != nil {
		return announcement{}, other, err
	}
	if in.Repository == nil {
		return announcement{}, other, errors.New("repository is required")
	}
	var p announcement
	if t, err := time.Parse("2006-01-02T15:04:05-0700", in.Date); err == nil {
		p.at = t
	}
	for _, l := range in.Repository.Links.Clone {
		p.urls = append(p.urls, l.Href)
	}
	project, name := in.Repository.Project.Key, in.Repository.Slug
	if project != "" && name != "" && len(project)+len(name) < maxName && !strings.ContainsAny(project+name, "/\x00") {
		p.path = project + "/" + name
	}
	for _, c := range in.Changes {
		ref := c.RefID
		if ref == "" {
			ref = c.Ref.ID
		}
		if c.Type != "DELETE" {
			p.refs = append(p.refs, ref)
		}
	}
	return p.made()
}
