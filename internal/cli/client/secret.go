package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// PutSecret sets the value of a secret, and creates the secret if it does not
// exist. It returns whether it existed.
func (c *Client) PutSecret(ctx context.Context, name string, value []byte, binary bool, description string) (arn, version string, exists bool, err error) {
	put := &secretsmanager.PutSecretValueInput{SecretId: &name}
	create := &secretsmanager.CreateSecretInput{Name: &name}
	if binary {
		put.SecretBinary, create.SecretBinary = value, value
	} else {
		text := string(value)
		put.SecretString, create.SecretString = &text, &text
	}
	if description != "" {
		create.Description = &description
	}
	out, err := c.Secrets.PutSecretValue(ctx, put)
	if !NotFound(err) {
		if err == nil && description != "" {
			_, err = c.Secrets.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: &name, Description: &description})
		}
		if err != nil {
			return "", "", true, err
		}
		return aws.ToString(out.ARN), aws.ToString(out.VersionId), true, nil
	}
	made, err := c.Secrets.CreateSecret(ctx, create)
	if err != nil {
		return "", "", false, err
	}
	return aws.ToString(made.ARN), aws.ToString(made.VersionId), false, nil
}

// HasParameter reports whether Parameter Store has a parameter, given by its name or ARN,
// and whether this key may know; has is true if it may not.
func (c *Client) HasParameter(ctx context.Context, name string) (has, known bool, err error) {
	in := struct {
		Name           string
		WithDecryption bool
	}{Name: name}
	err = c.parameters.do(ctx, "AmazonSSM.GetParameter", in, &struct{}{})
	switch {
	case err == nil:
		return true, true, nil
	case isCode(err, "AccessDeniedException"):
		return true, false, nil
	case isCode(err, "ParameterNotFound"), isCode(err, "ParameterVersionNotFound"):
		return false, true, nil
	}
	return false, true, err
}

// SecretARN returns the ARN of the secret with this name, "" if there is none.
func (c *Client) SecretARN(ctx context.Context, name string) (string, error) {
	out, err := c.Secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name})
	if NotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if out.DeletedDate != nil {
		return "", &Problem{Text: fmt.Sprintf("secret %q is to be deleted", name), Hint: fmt.Sprintf("`slipway secret rm %s --restore` keeps it.", name)}
	}
	return aws.ToString(out.ARN), nil
}

// SecretValue returns the value of a secret's version with this stage.
func (c *Client) SecretValue(ctx context.Context, id, stage string) (*secretsmanager.GetSecretValueOutput, error) {
	out, err := c.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id, VersionStage: &stage})
	return out, c.noSecret(id, err)
}

// ListSecrets returns all secrets by name, with deleted including those scheduled
// for deletion.
func (c *Client) ListSecrets(ctx context.Context, deleted bool) ([]types.SecretListEntry, error) {
	in := &secretsmanager.ListSecretsInput{IncludePlannedDeletion: &deleted, SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeAsc}
	pages := secretsmanager.NewListSecretsPaginator(c.Secrets, in)
	list := []types.SecretListEntry{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, out.SecretList...)
	}
	return list, nil
}

// DeleteSecret deletes a secret, immediately or after some days. Until then
// RestoreSecret cancels the deletion.
func (c *Client) DeleteSecret(ctx context.Context, id string, now bool, days int64) (*secretsmanager.DeleteSecretOutput, error) {
	in := &secretsmanager.DeleteSecretInput{SecretId: &id}
	if now {
		// Otherwise the server would not report a missing secret.
		if _, err := c.Secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id}); err != nil {
			return nil, c.noSecret(id, err)
		}
		in.ForceDeleteWithoutRecovery = &now
	} else {
		in.RecoveryWindowInDays = &days
	}
	out, err := c.Secrets.DeleteSecret(ctx, in)
	return out, c.noSecret(id, err)
}

// RestoreSecret cancels a deletion.
func (c *Client) RestoreSecret(ctx context.Context, id string) (*secretsmanager.RestoreSecretOutput, error) {
	out, err := c.Secrets.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &id})
	return out, c.noSecret(id, err)
}

func (c *Client) noSecret(id string, err error) error {
	if e, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		return &Problem{Text: fmt.Sprintf("there is no secret %q: %s", id, e.ErrorMessage()), Hint: "`slipway secret ls` lists them.", Err: err}
	}
	return err
}

// MasterKey describes the master key of the server's secrets.
type MasterKey struct {
	PublicKey string
	Since     Seconds
	DataKeys  int
	Encrypted bool
}

// MasterKey returns a description of the server's master key.
func (c *Client) MasterKey(ctx context.Context) (k MasterKey, err error) {
	err = c.own.do(ctx, "Slipway.DescribeMasterKey", struct{}{}, &k)
	return k, err
}

// RotateMasterKey rotates the server's master key.
func (c *Client) RotateMasterKey(ctx context.Context) (k MasterKey, err error) {
	err = c.own.do(ctx, "Slipway.RotateMasterKey", struct{}{}, &k)
	return k, err
}
