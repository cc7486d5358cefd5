package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/openslipway/slipway/internal/cli/client"
)

// secretReferences returns the references of --secret: the ARN of a secret that
// the server stores under this name, or else the text itself.
func secretReferences(ctx context.Context, c *client.Client, list []string) (map[string]string, error) {
	references := map[string]string{}
	for _, text := range list {
		name, ref, _ := strings.Cut(text, "=")
		if !strings.HasPrefix(ref, "arn:") && !strings.HasPrefix(ref, "/") {
			arn, err := c.SecretARN(ctx, ref)
			if err != nil {
				return nil, err
			}
			if arn != "" {
				ref = arn
			}
		}
		references[name] = ref
	}
	return references, nil
}

// checkSecrets validates --secret.
func checkSecrets(list []string) error {
	for _, text := range list {
		if name, ref, ok := strings.Cut(text, "="); !ok || name == "" || ref == "" {
			return fmt.Errorf("--secret is %q; it must be NAME=SECRET, where SECRET is the name or the ARN of a secret or parameter", text)
		}
	}
	return nil
}

// roleFor returns an instance role for a service with secrets. App Runner's API
// requires one that may read the secrets; here it is only a name.
func roleFor(ctx context.Context, c *client.Client) (string, error) {
	account, err := c.Account(ctx)
	return "arn:aws:iam::" + account + ":role/slipway-instance", err
}
