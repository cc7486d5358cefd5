package client

import (
	"context"
	"net/http"
	"time"

	"github.com/openslipway/slipway/internal/sdkhttp"
)

// uploadTimeout is the time limit of a call that sends files: megabytes, over a slow
// line.
const uploadTimeout = 5 * time.Minute

// UploadFile is a file of a directory that is uploaded.
type UploadFile struct {
	Path       string
	Size       int64  `json:",omitempty"` // bytes
	Sha256     string `json:",omitempty"`
	Executable bool   `json:",omitempty"`
	Link       string `json:",omitempty"` // of a symbolic link
}

// UploadContent is the content of a file, or a part of it.
type UploadContent struct {
	Sha256 string
	Size   int64 // of the whole content
	Offset int64 `json:",omitempty"`
	Data   []byte
}

// uploading returns the caller for calls that send files.
func (c *Client) uploading() caller {
	own := c.own
	own.http = &http.Client{Timeout: uploadTimeout, Transport: sdkhttp.Transport(c.Target.transport())}
	return own
}

// CreateUpload makes an upload of a directory whose files are sorted by path, and
// returns its URL for a code repository; or else the digests of what must be sent first.
func (c *Client) CreateUpload(ctx context.Context, files []UploadFile) (url string, missing []string, err error) {
	in := struct{ Files []UploadFile }{files}
	var out struct {
		Upload  struct{ RepositoryUrl string }
		Missing []string
	}
	err = c.uploading().do(ctx, "Slipway.CreateUpload", in, &out)
	return out.Upload.RepositoryUrl, out.Missing, err
}

// PutUploadContents sends contents of files.
func (c *Client) PutUploadContents(ctx context.Context, contents []UploadContent) error {
	in := struct{ Contents []UploadContent }{contents}
	var out struct{}
	return c.uploading().do(ctx, "Slipway.PutUploadContents", in, &out)
}
