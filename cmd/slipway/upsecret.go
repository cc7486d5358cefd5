package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// secretReferences returns the references of --secret: the ARN of the secret that the
// server stores under a name, or else the text itself. What does not exist is told before
// anything is deployed.
func secretReferences(ctx context.Context, c *client.Client, list []string, p *term.Progress) (map[string]string, error) {
	references := map[string]string{}
	for _, text := range list {
		variable, ref, _ := strings.Cut(text, "=")
		found, err := findReference(ctx, c, ref)
		if err != nil {
			return nil, err
		}
		switch {
		case found != "":
			ref = found
		case strings.HasPrefix(ref, "arn:"):
			// With --aws-secrets the server reads it from AWS, which only it knows.
			p.Say(term.Warn, "The server does not store %s, for variable %s: the deployment fails unless AWS has it and the server runs with --aws-secrets.", ref, variable)
		default:
			return nil, &client.Problem{
				Text: fmt.Sprintf("there is neither a secret nor a parameter %q, for variable %s", ref, variable),
				Hint: fmt.Sprintf("`slipway secret put %s` creates the secret, `slipway secret ls` lists those that exist.", strings.TrimPrefix(ref, "/")),
			}
		}
		references[variable] = ref
	}
	return references, nil
}

// findReference returns the reference to a secret or parameter that the server stores,
// "" if it stores none.
func findReference(ctx context.Context, c *client.Client, ref string) (string, error) {
	r, err := slipway.ParseSecretReference(ref)
	switch {
	case !strings.HasPrefix(ref, "arn:") && !strings.HasPrefix(ref, "/"):
		if arn, err := c.SecretARN(ctx, ref); err != nil || arn != "" {
			return arn, errors.Join(err, refuseBoth(ctx, c, ref, arn))
		}
		if err != nil {
			return "", nil // no name of a parameter either
		}
	case err != nil:
		return "", &client.Problem{Misuse: true, Text: "--secret: " + strings.TrimSuffix(err.Error(), "."), Err: err}
	case r.Secret != "":
		arn, err := c.SecretARN(ctx, r.Secret)
		if err != nil || arn == "" {
			return "", err
		}
		return ref, nil
	}
	if ok, _, err := c.HasParameter(ctx, ref); err != nil || !ok {
		return "", err
	}
	return ref, nil
}

// refuseBoth refuses a name that is a parameter's, too, if this key may know of it.
func refuseBoth(ctx context.Context, c *client.Client, name, secret string) error {
	if _, err := slipway.ParseSecretReference(name); secret == "" || err != nil {
		return nil // no name of a parameter
	}
	has, known, err := c.HasParameter(ctx, name)
	if err != nil || !has || !known {
		return err
	}
	parts := strings.SplitN(secret, ":", 6) // arn:aws:secretsmanager:region:account:...
	return &client.Problem{
		Text: fmt.Sprintf("%q is the name of a secret and of a parameter", name),
		Hint: fmt.Sprintf("Give the ARN of the one that is meant: %s or arn:aws:ssm:%s:%s:parameter/%s.", secret, parts[3], parts[4], name),
	}
}

// checkSecrets validates --secret. Its errors do not repeat what may be a secret.
func checkSecrets(list []string) error {
	for _, text := range list {
		name, ref, ok := strings.Cut(text, "=")
		if !ok || name == "" || ref == "" {
			return errors.New("--secret must be NAME=SECRET, where SECRET is the name or the ARN of a secret or parameter")
		}
		if err := checkVariable(name); err != nil {
			return fmt.Errorf("--secret: %w", err)
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
