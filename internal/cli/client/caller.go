package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
)

// caller makes calls in AWS JSON without an SDK: to other services, and of
// Slipway's own operations.
type caller struct {
	endpoint    string
	region      string
	service     string // in the signature's scope
	contentType string
	keys        aws.CredentialsProvider
	http        *http.Client
}

// maxReply is the largest reply that is read. CloudWatch Logs sends at most 1 MiB
// of events.
const maxReply = 16 << 20

// do calls the operation that target ("Logs_20140328.GetLogEvents") names.
func (c caller) do(ctx context.Context, target string, in, out any) error {
	_, operation, _ := strings.Cut(target, ".")
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	req.Header.Set("Content-Type", c.contentType)
	req.Header.Set("X-Amz-Target", target)
	if err := c.sign(ctx, req, body); err != nil {
		return fmt.Errorf("%s: sign: %w", operation, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return fmt.Errorf("%s: read the reply: %w", operation, err)
	}
	if resp.StatusCode != http.StatusOK {
		return callError(resp.StatusCode, reply)
	}
	if err := json.Unmarshal(reply, out); err != nil {
		return fmt.Errorf("%s: the reply has an unexpected form: %w", operation, err)
	}
	return nil
}

func (c caller) sign(ctx context.Context, req *http.Request, body []byte) error {
	keys, err := c.keys.Retrieve(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	// With it a server can check the signature before it reads a long body.
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	return sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request:     req,
		PayloadHash: sum[:],
		Credentials: credentials.Credentials{
			AccessKeyID:     keys.AccessKeyID,
			SecretAccessKey: keys.SecretAccessKey,
			SessionToken:    keys.SessionToken,
		},
		Service: c.service,
		Region:  c.region,
	})
}

// callError reads the error body of an AWS JSON service.
func callError(status int, body []byte) error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // encoding/json matches Message too
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Type == "" {
		return &smithy.GenericAPIError{Code: fmt.Sprintf("HTTP %d", status), Message: strings.TrimSpace(string(body[:min(len(body), 200)]))}
	}
	return &smithy.GenericAPIError{Code: e.Type[strings.LastIndex(e.Type, "#")+1:], Message: e.Message}
}
