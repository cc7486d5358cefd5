package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/openslipway/slipway/internal/image"
)

// maxPage is the largest page, in names, whatever the client asks for.
const maxPage = 10_000

func (c *call) listTags() error {
	tags, err := c.cfg.Images.Tags(c.repo)
	if errors.Is(err, image.ErrNotFound) {
		return &fault{http.StatusNotFound, "NAME_UNKNOWN", "There is no repository " + c.repo + "."}
	}
	if err != nil {
		return err
	}
	slices.Sort(tags)
	if tags, err = c.page(tags); err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.repo, tags})
}

func (c *call) listRepositories() error {
	if c.r.Method != http.MethodGet {
		return &fault{http.StatusMethodNotAllowed, "UNSUPPORTED", "The method " + c.r.Method + " is not allowed here."}
	}
	names, err := c.cfg.Images.Repositories()
	if err != nil {
		return err
	}
	if names, err = c.page(names); err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// page cuts the page that n and last ask for out of sorted names, and links the
// next one.
func (c *call) page(names []string) ([]string, error) {
	q := c.r.URL.Query()
	if last := q.Get("last"); last != "" {
		i, found := slices.BinarySearch(names, last)
		if found {
			i++
		}
		names = names[i:]
	}
	n := maxPage
	if text := q.Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return nil, &fault{http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", fmt.Sprintf("n is %q; it must be 0 or more.", text)}
		}
		n = min(n, maxPage)
	}
	if n < len(names) {
		names = names[:n]
		if n > 0 {
			next := url.URL{Path: c.r.URL.Path, RawQuery: url.Values{"n": {strconv.Itoa(n)}, "last": {names[n-1]}}.Encode()}
			c.w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
		}
	}
	if names == nil {
		names = []string{}
	}
	return names, nil
}
