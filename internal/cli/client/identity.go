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

	KeyID      string // "" if Provider must be asked
	From       string // where the key was found, for people
	RegionFrom string // the same for the region
}

// String names the key, for people: its id is no secret, but long.
func (id Identity) String() string {
	const ends = 4
	if n := len(id.KeyID); n > 3*ends {
		return "access key " + id.KeyID[:ends] + "…" + id.KeyID[n-ends:] + " (" + id.From + ")"
	}
	if id.KeyID == "" {
		return "our access key"
	}
	return "access key " + id.KeyID + " (" + id.From + ")"
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
		if t.getenv("AWS_SECRET_ACCESS_KEY") == "" {
			return Identity{}, &Problem{Misuse: true, Text: "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not", Hint: "Set both, or unset both."}
		}
		region, from := t.regionOr("", "")
		return Identity{
			Provider: credentials.NewStaticCredentialsProvider(id, t.getenv("AWS_SECRET_ACCESS_KEY"), t.getenv("AWS_SESSION_TOKEN")),
			Region:   region, RegionFrom: from, KeyID: id, From: fromEnvironment,
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
		region, regionFrom := t.regionOr(shared.Region, "profile "+profile+" of "+abs)
		return Identity{
			Provider: credentials.StaticCredentialsProvider{Value: shared.Credentials},
			Region:   region, RegionFrom: regionFrom,
			File:    abs,
			Profile: profile,
			KeyID:   shared.Credentials.AccessKeyID, From: fmt.Sprintf("profile %s of %s, %s", profile, abs, from),
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
	if _, missing := errors.AsType[config.SharedConfigProfileNotExistError](err); missing {
		return Identity{}, &Problem{
			Misuse: true,
			Text:   fmt.Sprintf("AWS_PROFILE is %s, and the AWS configuration files have no such profile", t.getenv("AWS_PROFILE")),
			Hint:   "Unset AWS_PROFILE, or name the server's credentials file with --credentials or SLIPWAY_CREDENTIALS.",
			Err:    err,
		}
	}
	if err != nil {
		return Identity{}, &Problem{Text: "the AWS configuration files can't be read: " + err.Error(), Hint: "--credentials names a file with an access key of the server.", Err: err}
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return Identity{}, errNoCredentials
	}
	region, from := t.regionOr(cfg.Region, "the AWS configuration files")
	where := "the AWS configuration files"
	if p := t.getenv("AWS_PROFILE"); p != "" {
		where = "profile " + p + " of AWS_PROFILE in the AWS configuration files"
	}
	return Identity{Provider: cfg.Credentials, Region: region, RegionFrom: from, KeyID: keys.AccessKeyID, From: where}, nil
}

// fromEnvironment is Identity.From of a key in variables.
const fromEnvironment = "AWS_ACCESS_KEY_ID in the environment"

// regionOr returns the region to sign for and where it is from: the one that the user
// gave, else the one that was named with the key.
func (t Target) regionOr(named, from string) (region, where string) {
	switch {
	case t.region != "":
		return t.region, "--region or SLIPWAY_REGION"
	case named != "":
		return named, from
	}
	if v := t.getenv("AWS_REGION"); v != "" {
		return v, "AWS_REGION"
	}
	if v := t.getenv("AWS_DEFAULT_REGION"); v != "" {
		return v, "AWS_DEFAULT_REGION"
	}
	return defaultRegion, "the default"
}

func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}
