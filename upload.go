package slipway

import (
	"strings"
	"time"
)

// Upload is a directory of source code that a user sent: App Runner has none. A code
// repository names it by its URL. Only its owner may, and a service keeps it.
type Upload struct {
	ID    string // 32 hexadecimal digits, random: it tells nothing of the content
	Owner string // unique id of the user, which no later user of that name has

	Snapshot string // id of the content: the SHA-256 of its manifest, in hexadecimal
	Files    int    // regular files and links
	Bytes    int64  // of all files

	CreatedAt time.Time
	UsedAt    time.Time // when it was last uploaded
}

// uploadScheme begins the URLs of uploads.
const uploadScheme = "upload://"

// URL returns what names the upload in CodeRepository.RepositoryUrl.
func (u Upload) URL() string { return uploadScheme + u.ID }

// IsUploadURL reports whether the URL of a code repository is meant to name an
// upload; ParseUploadURL says which, if it does.
func IsUploadURL(url string) bool {
	return len(url) >= len(uploadScheme) && strings.EqualFold(url[:len(uploadScheme)], uploadScheme)
}

// ParseUploadURL returns the id in the URL of an upload.
func ParseUploadURL(url string) (id string, err error) {
	id, ok := strings.CutPrefix(url, uploadScheme)
	if !ok || len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", Errorf(InvalidRequest,
			"RepositoryUrl %.100q is not the URL of an upload: upload:// and 32 hexadecimal digits in lower case, as `slipway up DIR` makes it.", url)
	}
	return id, nil
}
