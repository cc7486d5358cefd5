package source

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

// Repository is the code repository that a service is built from.
type Repository struct {
	URL       string // of a git repository or of an upload
	Branch    string
	Directory string // SourceDirectory without slashes around it; "" for the root

	// Of the connection that gives access; none without one.
	Provider   string // as slipway.Connection has it
	Token      string
	PrivateKey []byte // of a deploy key, for ssh, in place of a token

	Configuration types.CodeConfiguration
	Build         slipway.BuildSettings // the service's own
}

// RepositoryOf returns the code repository of a source, without its credentials;
// false if the source is an image.
func RepositoryOf(s types.SourceConfiguration) (Repository, bool) {
	r := s.CodeRepository
	if r == nil {
		return Repository{}, false
	}
	repository := Repository{URL: aws.ToString(r.RepositoryUrl), Directory: strings.Trim(aws.ToString(r.SourceDirectory), "/")}
	if r.SourceCodeVersion != nil {
		repository.Branch = aws.ToString(r.SourceCodeVersion.Value)
	}
	if r.CodeConfiguration != nil {
		repository.Configuration = *r.CodeConfiguration
	}
	return repository, true
}

// BuildRequest is a commit or an upload to make an image of.
type BuildRequest struct {
	Service    string // id
	Operation  string // id; the build's output goes to the stream build/<Operation>
	Repository Repository
	Commit     string // of an upload, the id of its content

	Secrets map[string]string // values of Repository.Build.Secrets by variable
}

// Build is an image that was built from code.
type Build struct {
	Artifact Artifact
	Code     slipway.CodeVersion
}
