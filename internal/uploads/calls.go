package uploads

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/source/upload"
	"github.com/openslipway/slipway/internal/store"
)

const (
	maxManifest = 32 << 20 // bytes of a CreateUpload
	maxContents = 12 << 20 // bytes of a PutUploadContents: 8 MiB and a little in base64
	maxBatch    = 1000     // contents of a PutUploadContents
	maxMissing  = 10_000   // digests that a reply names

	// create is the permission to send directories. Both calls require it.
	create = "apprunner:CreateUpload"
)

// Service returns the operations for the gateway. They are Slipway's own.
func (u *Uploads) Service() gateway.Service {
	return gateway.Service{
		Name:     "apprunner",
		Internal: "InternalServiceErrorException",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.0", Targets: []string{"Slipway."}},
		Operations: []gateway.Operation{
			gateway.Mutate("CreateUpload", u.create, allowed[CreateUploadInput]).Within(maxManifest),
			gateway.Mutate("PutUploadContents", u.put, allowed[PutUploadContentsInput]).Within(maxContents),
			gateway.Read("ListUploads", u.list, gateway.AnyResource),
		},
	}
}

func allowed[I any](*store.Tx, *I) ([]gateway.Permission, error) {
	return []gateway.Permission{{Action: create, Resource: "*"}}, nil
}

// CreateUploadInput is the input of CreateUpload: a directory, without the contents of
// its files.
type CreateUploadInput struct {
	Files files // required, sorted by path
}

// files are the files of a directory. Records of calls have only their number.
type files []File

// MarshalJSON is for records of calls.
func (f files) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, fmt.Sprintf("%d files", len(f))), nil
}

// File is a regular file or a symbolic link of a directory.
type File struct {
	Path       *string // required: relative, clean, with slashes
	Size       int64   // bytes
	Sha256     *string // of the content, in hexadecimal; required of a regular file
	Executable bool
	Link       *string // where a symbolic link leads; it has no other member but Path
}

// CreateUploadOutput is its output: the upload, or the contents that must be sent first.
type CreateUploadOutput struct {
	Upload  *Upload  // absent while contents are missing
	Missing []string // digests, at most 10,000 of them
}

// Upload describes an upload.
type Upload struct {
	UploadID      string `json:"UploadId"`
	RepositoryURL string `json:"RepositoryUrl"` // for CodeRepository
	Files         int
	Bytes         int64
	CreatedAt     time.Time
	UsedAt        time.Time // when its content was last uploaded
	InUse         *bool     // by a service, an operation or a release; only from ListUploads
}

// PutUploadContentsInput is the input of PutUploadContents. The contents may belong to
// any uploads of the caller's.
type PutUploadContentsInput struct {
	Contents []Content // required
}

// Content is the content of a file, or a part of one: parts come in order.
type Content struct {
	Sha256 *string // required: of the whole content, in hexadecimal
	Size   int64   // of the whole content, in bytes
	Offset int64   // of Data in it, in bytes
	Data   data    // in base64
}

// data is bytes of a file. Records of calls have only their number.
type data []byte

// MarshalJSON is for records of calls.
func (d data) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, fmt.Sprintf("%d bytes", len(d))), nil
}

// PutUploadContentsOutput is its output.
type PutUploadContentsOutput struct{}

// ListUploadsInput is the input of ListUploads.
type ListUploadsInput struct{}

// ListUploadsOutput is its output: the caller's uploads, the last used first.
type ListUploadsOutput struct{ Uploads []Upload }

// create makes an upload of a directory, if all its contents are there: those that the
// caller has sent. The upload with its contents is on disk before its row is, and the
// row before the caller is told.
func (u *Uploads) create(ctx context.Context, call *gateway.Call, in *CreateUploadInput) (*CreateUploadOutput, error) {
	m := manifest(in.Files)
	if err := m.Check(u.cfg.Limits); err != nil {
		return nil, err
	}
	if len(m.Files) == 0 {
		return nil, slipway.Errorf(slipway.InvalidRequest, "Files is required: the directory has none, or .gitignore and .dockerignore exclude them all.")
	}
	var snapshot string
	var missing []string
	err := u.withRoom(ctx, call, func(s *upload.Store) (err error) {
		snapshot, missing, err = s.Commit(m, u.cfg.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return &CreateUploadOutput{Missing: missing[:min(len(missing), maxMissing)]}, nil
	}
	now := u.cfg.Now()
	up := slipway.Upload{
		ID: slipway.NewID(), Owner: call.Caller.UserID, Snapshot: snapshot, Files: len(m.Files), Bytes: m.Bytes(), CreatedAt: now, UsedAt: now,
	}
	err = call.Update(ctx, func(tx *store.Tx) (err error) {
		up, err = tx.PutUpload(up)
		return err
	})
	if err != nil {
		return nil, err
	}
	shown := describe(up)
	return &CreateUploadOutput{Upload: &shown}, nil
}

// manifest returns a directory as package upload has it.
func manifest(list files) upload.Manifest {
	m := upload.Manifest{Files: make([]upload.File, len(list))}
	for i, f := range list {
		m.Files[i] = upload.File{
			Path: aws.ToString(f.Path), Size: f.Size, Digest: aws.ToString(f.Sha256), Executable: f.Executable, Link: aws.ToString(f.Link),
		}
	}
	return m
}

func describe(up slipway.Upload) Upload {
	return Upload{UploadID: up.ID, RepositoryURL: up.URL(), Files: up.Files, Bytes: up.Bytes, CreatedAt: up.CreatedAt, UsedAt: up.UsedAt}
}

// put keeps contents for uploads that the caller makes.
func (u *Uploads) put(ctx context.Context, call *gateway.Call, in *PutUploadContentsInput) (*PutUploadContentsOutput, error) {
	if n := len(in.Contents); n == 0 || n > maxBatch {
		return nil, slipway.Errorf(slipway.InvalidRequest, "Contents has %d entries; there must be 1 to %d.", n, maxBatch)
	}
	if err := call.Record(ctx); err != nil {
		return nil, err
	}
	for _, c := range in.Contents {
		err := u.withRoom(ctx, call, func(s *upload.Store) error {
			_, err := s.Put(aws.ToString(c.Sha256), c.Size, c.Offset, c.Data, u.cfg.Now())
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return &PutUploadContentsOutput{}, nil
}

// withRoom calls f with the caller's store, and once more after it has made room if the
// store was full.
func (u *Uploads) withRoom(ctx context.Context, call *gateway.Call, f func(*upload.Store) error) error {
	s, err := u.of(call.Caller.UserID)
	if err != nil {
		return err
	}
	err = f(s)
	if errors.Is(err, unix.ENOSPC) { // *room.Error is, too
		return slipway.Errorf(slipway.QuotaExceeded, "The server's disk is full: only its reserve is left. The operator can remove what builds have left by slipway build prune, or enlarge the disk.")
	}
	if !errors.Is(err, upload.ErrFull) {
		return err
	}
	freed, err := u.collect(ctx, call.Caller.UserID, u.cfg.Now().Add(-keepWhenFull))
	if err != nil {
		return err
	}
	u.cfg.Log.Info("uploads collected", "user", call.Caller.User, "bytes", freed)
	if err := f(s); !errors.Is(err, upload.ErrFull) {
		return err
	}
	return slipway.Errorf(slipway.QuotaExceeded,
		"Your uploads take their limit of %d MiB, and services use them or they are new. Delete services that you no longer need, exclude files by .gitignore or .dockerignore, or let the operator raise --upload-quota.",
		u.cfg.Limits.Stored>>20)
}

func (u *Uploads) list(ctx context.Context, call *gateway.Call, _ *ListUploadsInput) (*ListUploadsOutput, error) {
	out := &ListUploadsOutput{Uploads: []Upload{}}
	err := u.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, err := tx.UploadsOf(call.Caller.UserID)
		if err != nil {
			return err
		}
		for _, up := range list {
			used, err := tx.InUse(up.URL())
			if err != nil {
				return err
			}
			shown := describe(up)
			shown.InUse = &used
			out.Uploads = append(out.Uploads, shown)
		}
		return nil
	})
	return out, err
}
