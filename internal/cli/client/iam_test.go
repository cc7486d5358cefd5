package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// A name that two managed policies bear is refused, except by put, which can only mean
// the customer's.
func TestPolicyNames(t *testing.T) {
	t.Parallel()
	const own, amazon, alone = "arn:aws:iam::000000000000:policy/Both", "arn:aws:iam::aws:policy/Both", "arn:aws:iam::aws:policy/Alone"
	var changed []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		switch action := r.PostForm.Get("Action"); action {
		case "ListPolicies":
			fmt.Fprint(w, `<ListPoliciesResponse><ListPoliciesResult><IsTruncated>false</IsTruncated><Policies>`)
			for _, arn := range []string{amazon, own, alone} {
				fmt.Fprintf(w, `<member><Arn>%s</Arn><PolicyName>%s</PolicyName></member>`, arn, arn[strings.LastIndexByte(arn, '/')+1:])
			}
			fmt.Fprint(w, `</Policies></ListPoliciesResult></ListPoliciesResponse>`)
		case "CreatePolicy":
			changed = append(changed, "created "+r.PostForm.Get("PolicyName"))
			fmt.Fprint(w, `<CreatePolicyResponse><CreatePolicyResult><Policy><Arn>new</Arn></Policy></CreatePolicyResult></CreatePolicyResponse>`)
		default:
			changed = append(changed, r.PostForm.Get("PolicyArn"))
			fmt.Fprintf(w, `<%sResponse><%[1]sResult></%[1]sResult></%[1]sResponse>`, action)
		}
	}))
	t.Cleanup(server.Close)
	endpoint, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Target: Target{Endpoint: endpoint}, IAM: iam.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	})}
	for name, want := range map[string]string{own: own, amazon: amazon, alone: alone, "Alone": alone} {
		if p, err := c.Policy(t.Context(), name); err != nil || p == nil || *p.Arn != want {
			t.Errorf("%s is %v, %v; want %s", name, p, err, want)
		}
	}
	for _, name := range []string{"alone", "Alon", "Alonely"} {
		if p, err := c.Policy(t.Context(), name); err != nil || p != nil {
			t.Errorf("%s is %v, %v", name, p, err)
		}
	}
	for what, call := range map[string]func() error{
		"a policy": func() error { _, err := c.Policy(t.Context(), "Both"); return err },
		"an ARN":   func() error { _, err := c.PolicyARN(t.Context(), "Both"); return err },
		"a document": func() error {
			_, err := c.PolicyDocument(t.Context(), "", "Both")
			return err
		},
	} {
		p, ok := errors.AsType[*Problem](call())
		if !ok || !strings.Contains(p.Hint, own) || !strings.Contains(p.Hint, amazon) {
			t.Errorf("%s of a name that two bear: %v", what, p)
		}
	}
	for _, name := range []string{"Both", "Alone"} {
		if _, err := c.PutPolicy(t.Context(), name, "{}"); err != nil {
			t.Errorf("put %s: %v", name, err)
		}
	}
	if got := strings.Join(changed, ", "); got != own+", created Alone" {
		t.Errorf("changed %s", got)
	}
}
