package client

import "context"

// CheckRequest is a check to start. Empty members are the code's.
type CheckRequest struct {
	RepositoryURL   string            `json:"RepositoryUrl"`
	SourceDirectory string            `json:",omitempty"`
	ServiceArn      string            `json:",omitempty"` // whose settings and caches are used
	Port            string            `json:",omitempty"`
	StartCommand    string            `json:",omitempty"`
	Environment     map[string]string `json:",omitempty"`
}

// CheckStatus is a check as it is.
type CheckStatus struct {
	Status  string // IN_PROGRESS, SUCCEEDED or FAILED
	Lines   []string
	Message string `json:",omitempty"`
	Next    string `json:",omitempty"`
}

// StartCheck starts a check and returns its id.
func (c *Client) StartCheck(ctx context.Context, r CheckRequest) (string, error) {
	var out struct {
		CheckID string `json:"CheckId"`
	}
	err := c.own.do(ctx, "Slipway.StartCheck", r, &out)
	return out.CheckID, err
}

type checkInput struct {
	CheckID string `json:"CheckId"`
	From    int    `json:",omitempty"`
}

// FollowCheck calls see with the lines of a check until it has ended, and returns how.
func (c *Client) FollowCheck(ctx context.Context, id string, see func(line string)) (CheckStatus, error) {
	var last CheckStatus
	from := 0
	err := poll(ctx, pollFirst, pollLast, func(error) {}, func() (bool, error) {
		last = CheckStatus{}
		if err := c.own.do(ctx, "Slipway.DescribeCheck", checkInput{CheckID: id, From: from}, &last); err != nil {
			return false, err
		}
		from += len(last.Lines)
		for _, line := range last.Lines {
			see(line)
		}
		return last.Status != "IN_PROGRESS", nil
	})
	return last, err
}

// StopCheck ends a check.
func (c *Client) StopCheck(ctx context.Context, id string) error {
	var out struct{}
	return c.own.do(ctx, "Slipway.StopCheck", checkInput{CheckID: id}, &out)
}
