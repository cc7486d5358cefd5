package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// CredentialsFile is the name of the file with the root access key in a server's
// data directory.
const CredentialsFile = "credentials"

// Identity is an access key and where it was found.
type Identity struct {
	Provider aws.CredentialsProvider
	Region   string // to sign for
	File     string // absolute path of the credentials file; "" if the key is from elsewhere
	Profile  string // within File
}

// defaultProfile is the profile that a server writes. It is used if the file lacks
// the profile of AWS_PROFILE, which may be meant for other files.
const defaultProfile = "default"

// errNoCredentials means that no access key was found.
var errNoCredentials = errors.New("no credentials found")

// Identity finds the access key to sign with. It uses the first that exists of: the
// file of --credentials or SLIPWAY_CREDENTIALS, the key in AWS_ACCESS_KEY_ID, the
// file of AWS_SHARED_CREDENTIALS_FILE, the file in the data directory of a server
// on this machine, and AWS's default locations. The region is the given one, else
// the file's, else AWS_REGION, AWS_DEFAULT_REGION or us-east-1.
func (t Target) Identity(ctx context.Context) (Identity, error) {
	if t.credentials != "" {
		return t.fromFile(ctx, t.credentials, "the file that --credentials or SLIPWAY_CREDENTIALS names")
	}
	if id := t.getenv("AWS_ACCESS_KEY_ID"); id != "" {
		return Identity{
			Provider: credentials.NewStaticCredentialsProvider(id, t.getenv("AWS_SECRET_ACCESS_KEY"), t.getenv("AWS_SESSION_TOKEN")),
			Region:   t.regionOr(""),
		}, nil
	}
	if f := t.getenv("AWS_SHARED_CREDENTIALS_FILE"); f != "" {
		return t.fromFile(ctx, f, "the file that AWS_SHARED_CREDENTIALS_FILE names")
	}
	if own, ok := t.ownFile(); ok {
		return t.fromFile(ctx, own, "the server's data directory")
	}
	return t.fromStandardPlaces(ctx)
}

// ownFile returns the credentials file in the data directory of a server on this
// machine, if it exists and the target is on this machine.
func (t Target) ownFile() (string, bool) {
	own := filepath.Join(t.DataDir, CredentialsFile)
	_, err := os.Stat(own)
	return own, err == nil && t.Local()
}

func (t Target) fromFile(ctx context.Context, file, from string) (Identity, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return Identity{}, fmt.Errorf("credentials file %s: %w", file, err)
	}
	if err := readable(abs); err != nil {
		return Identity{}, &Problem{
			Text: fmt.Sprintf("cannot read the credentials file: %v", err),
			Hint: "It is " + from + ". A server writes its file, readable only by its user, as " + CredentialsFile + " in its data directory.",
			Err:  err,
		}
	}
	for _, profile := range []string{t.getenv("AWS_PROFILE"), defaultProfile} {
		if profile == "" {
			continue
		}
		shared, err := config.LoadSharedConfigProfile(ctx, profile, func(o *config.LoadSharedConfigOptions) {
			o.CredentialsFiles = []string{abs}
			o.ConfigFiles = []string{}
		})
		if err != nil || !shared.Credentials.HasKeys() {
			continue
		}
		return Identity{
			Provider: credentials.StaticCredentialsProvider{Value: shared.Credentials},
			Region:   t.regionOr(shared.Region),
			File:     abs,
			Profile:  profile,
		}, nil
	}
	return Identity{}, &Problem{
		Text: fmt.Sprintf("%s has no access key in its profile %q", abs, cmp.Or(t.getenv("AWS_PROFILE"), defaultProfile)),
		Hint: "It is " + from + ". AWS_PROFILE chooses the profile; it must have aws_access_key_id and aws_secret_access_key.",
	}
}

// fromStandardPlaces uses the SDK, but not the metadata service of a cloud machine:
// elsewhere that takes seconds, and its keys are not the server's.
func (t Target) fromStandardPlaces(ctx context.Context) (Identity, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return Identity{}, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return Identity{}, errNoCredentials
	}
	return Identity{
		Provider: cfg.Credentials,
		Region:   t.regionOr(cfg.Region),
	}, nil
}

func (t Target) regionOr(named string) string {
	return cmp.Or(t.region, named, t.getenv("AWS_REGION"), t.getenv("AWS_DEFAULT_REGION"), defaultRegion)
}

func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}
