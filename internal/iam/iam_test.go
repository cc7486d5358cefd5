package iam_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/iam"
	"github.com/openslipway/slipway/internal/store"
)

const (
	allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	userARN  = "arn:aws:iam::000000000000:user/"
)

// rot is a vault for tests: it seals a secret by reversing it and changing its
// bytes.
type rot struct{}

func (rot) Seal(context string, secret []byte) []byte {
	return turn([]byte(context + "|" + string(secret)))
}

func (rot) Open(context string, sealed []byte) ([]byte, error) {
	secret, ok := strings.CutPrefix(string(turn(sealed)), context+"|")
	if !ok {
		return nil, errors.New("sealed for something else")
	}
	return []byte(secret), nil
}

func turn(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[len(b)-1-i] = c ^ 1
	}
	return out
}

// bench is IAM and STS behind a gateway, on a real socket.
type bench struct {
	*gatewaytest.Bench
	url string
	iam *awsiam.Client // of the root user
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: gatewaytest.New(t)}
	b.Clock.Advance(time.Since(b.Clock.Now())) // SDKs sign with the real time
	keys := iam.Keys{Vault: rot{}}
	i, err := iam.New(iam.Config{Store: b.Store, Account: gatewaytest.Account, Keys: keys, Now: b.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{i.Service(), i.STS()}, func(c *gateway.Config) {
		c.Policies, c.Unseal = i.Policies, keys.Unseal
	})
	srv := httptest.NewServer(b.Handler)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.Logged)
		}
	})
	t.Cleanup(srv.Close)
	b.url = srv.URL
	b.iam = b.as(b.Key.ID, b.Key.Secret, "")
	return b
}

// as returns a client with these credentials.
func (b *bench) as(id, secret, token string) *awsiam.Client {
	return awsiam.New(awsiam.Options{
		Region: "eu-west-1", BaseEndpoint: &b.url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token), RetryMaxAttempts: 1,
	}, func(o *awsiam.Options) { o.Region = gatewaytest.Region })
}

func (b *bench) sts(id, secret, token string) *sts.Client {
	return sts.New(sts.Options{
		Region: gatewaytest.Region, BaseEndpoint: &b.url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token), RetryMaxAttempts: 1,
	})
}

// user makes a user with a key and an inline policy.
func (b *bench) user(name, document string) *awsiam.Client {
	b.Helper()
	must(b, second(b.iam.CreateUser(b.Context(), &awsiam.CreateUserInput{UserName: &name})))
	if document != "" {
		must(b, second(b.iam.PutUserPolicy(b.Context(), &awsiam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: &document})))
	}
	k := b.key(name)
	return b.as(*k.AccessKeyId, *k.SecretAccessKey, "")
}

func (b *bench) key(name string) *types.AccessKey {
	b.Helper()
	out, err := b.iam.CreateAccessKey(b.Context(), &awsiam.CreateAccessKeyInput{UserName: &name})
	must(b, err)
	return out.AccessKey
}

func second[T any](_ T, err error) error { return err }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks an error's code and a part of its message.
func refused(t testing.TB, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("got %v, want %s with %q", err, code, message)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	out, err := b.iam.CreateUser(ctx, &awsiam.CreateUserInput{
		UserName: aws.String("ann"), Path: aws.String("/team/"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	})
	must(t, err)
	if u := out.User; *u.Arn != userARN[:len(userARN)-1]+"/team/ann" || !strings.HasPrefix(*u.UserId, "AIDA") || len(*u.UserId) != 21 || len(u.Tags) != 1 {
		t.Errorf("%+v", u)
	}
	got, err := b.iam.GetUser(ctx, &awsiam.GetUserInput{UserName: aws.String("ann")})
	must(t, err)
	if d := cmp.Diff(*out.User.UserId, *got.User.UserId); d != "" || *got.User.Tags[0].Value != "v" || !got.User.CreateDate.Equal(*out.User.CreateDate) {
		t.Errorf("%+v", got.User)
	}
	for i := range 5 {
		must(t, second(b.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String(fmt.Sprintf("u%d", i))})))
	}
	var names []string
	pages := awsiam.NewListUsersPaginator(b.iam, &awsiam.ListUsersInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		must(t, err)
		for _, u := range page.Users {
			names = append(names, *u.UserName)
		}
	}
	if d := cmp.Diff([]string{"ann", "u0", "u1", "u2", "u3", "u4"}, names); d != "" {
		t.Error(d)
	}
	list, err := b.iam.ListUsers(ctx, &awsiam.ListUsersInput{PathPrefix: aws.String("/team/")})
	if err != nil || len(list.Users) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	must(t, second(b.iam.TagUser(ctx, &awsiam.TagUserInput{UserName: aws.String("ann"), Tags: []types.Tag{{Key: aws.String("l"), Value: aws.String("w")}}})))
	must(t, second(b.iam.UntagUser(ctx, &awsiam.UntagUserInput{UserName: aws.String("ann"), TagKeys: []string{"k"}})))
	tags, err := b.iam.ListUserTags(ctx, &awsiam.ListUserTagsInput{UserName: aws.String("ann")})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "l" {
		t.Errorf("%+v, %v", tags, err)
	}
	longest := []types.Tag{{Key: aws.String(strings.Repeat("é", 128)), Value: aws.String(strings.Repeat("é", 256))}}
	must(t, second(b.iam.TagUser(ctx, &awsiam.TagUserInput{UserName: aws.String("ann"), Tags: longest})))
	for _, keys := range [][]string{{strings.Repeat("é", 129)}, {"team", "Team"}} {
		var list []types.Tag
		for _, k := range keys {
			list = append(list, types.Tag{Key: &k, Value: aws.String("")})
		}
		_, err = b.iam.TagUser(ctx, &awsiam.TagUserInput{UserName: aws.String("ann"), Tags: list})
		refused(t, err, "ValidationError", "ag")
	}
	groups, err := b.iam.ListGroupsForUser(ctx, &awsiam.ListGroupsForUserInput{UserName: aws.String("ann")})
	if err != nil || groups.Groups == nil {
		t.Errorf("%+v, %v", groups, err)
	}
	root, err := b.iam.GetUser(ctx, &awsiam.GetUserInput{})
	if err != nil || *root.User.Arn != "arn:aws:iam::000000000000:root" {
		t.Errorf("%+v, %v", root, err)
	}

	for _, name := range []string{"ann", "ANN", "root", "Root"} {
		_, err = b.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name})
		refused(t, err, "EntityAlreadyExists", "User with name "+name+" already exists.")
		if _, ok := errors.AsType[*types.EntityAlreadyExistsException](err); !ok {
			t.Errorf("%v is not typed", err)
		}
	}
	for name, want := range map[string]string{"a b": "The specified value for userName is invalid.", strings.Repeat("x", 65): "length less than or equal to 64"} {
		_, err = b.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name})
		refused(t, err, "ValidationError", want)
	}
	_, err = b.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("x"), Path: aws.String("team")})
	refused(t, err, "ValidationError", "The specified value for path is invalid.")
	_, err = b.iam.GetUser(ctx, &awsiam.GetUserInput{UserName: aws.String("bob")})
	refused(t, err, "NoSuchEntity", "The user with name bob cannot be found.")
	if _, ok := errors.AsType[*types.NoSuchEntityException](err); !ok {
		t.Errorf("%v is not typed", err)
	}
	_, err = b.iam.ListUsers(ctx, &awsiam.ListUsersInput{MaxItems: aws.Int32(1001)})
	refused(t, err, "ValidationError", "maxItems")
	_, err = b.iam.ListUsers(ctx, &awsiam.ListUsersInput{Marker: aws.String("%")})
	refused(t, err, "ValidationError", "Invalid Marker.")
}

// A user is deleted after everything that belongs to it.
func TestDeleteUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	name := aws.String("ann")
	b.user("ann", allowAll)
	arn := aws.String("arn:aws:iam::aws:policy/AWSAppRunnerReadOnlyAccess")
	must(t, second(b.iam.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: name, PolicyArn: arn})))
	remove := func() error { return second(b.iam.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: name})) }
	refused(t, remove(), "DeleteConflict", "must delete access keys first")
	keys, err := b.iam.ListAccessKeys(ctx, &awsiam.ListAccessKeysInput{UserName: name})
	must(t, err)
	must(t, second(b.iam.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{UserName: name, AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId})))
	refused(t, remove(), "DeleteConflict", "must detach all policies first")
	must(t, second(b.iam.DetachUserPolicy(ctx, &awsiam.DetachUserPolicyInput{UserName: name, PolicyArn: arn})))
	refused(t, remove(), "DeleteConflict", "must delete policies first")
	must(t, second(b.iam.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("p")})))
	must(t, remove())
	refused(t, remove(), "NoSuchEntity", "ann cannot be found")
}

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	b.user("ann", allowAll)
	k := b.key("ann")
	if len(*k.AccessKeyId) != 20 || !strings.HasPrefix(*k.AccessKeyId, "AKIA") || len(*k.SecretAccessKey) != 40 || k.Status != types.StatusTypeActive {
		t.Errorf("%+v", k)
	}
	b.Update(func(tx *store.Tx) error {
		stored, err := tx.AccessKey(*k.AccessKeyId)
		if !strings.HasPrefix(stored.Secret, "sealed:") || strings.Contains(stored.Secret, *k.SecretAccessKey) {
			t.Errorf("the secret is stored as %q", stored.Secret)
		}
		return err
	})
	ann := b.as(*k.AccessKeyId, *k.SecretAccessKey, "")
	me, err := ann.GetUser(ctx, &awsiam.GetUserInput{})
	if err != nil || *me.User.UserName != "ann" {
		t.Errorf("%+v, %v", me, err)
	}
	mine, err := ann.ListAccessKeys(ctx, &awsiam.ListAccessKeysInput{})
	if err != nil || len(mine.AccessKeyMetadata) != 2 || *mine.AccessKeyMetadata[0].UserName != "ann" {
		t.Errorf("%+v, %v", mine, err)
	}
	set := func(s types.StatusType) error {
		return second(b.iam.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: k.AccessKeyId, Status: s}))
	}
	must(t, set(types.StatusTypeInactive))
	_, err = ann.GetUser(ctx, &awsiam.GetUserInput{})
	refused(t, err, "InvalidClientTokenId", "The security token included in the request is invalid.")
	must(t, set(types.StatusTypeActive))
	must(t, second(ann.GetUser(ctx, &awsiam.GetUserInput{})))
	refused(t, set("Sleeping"), "ValidationError", "Member must satisfy enum value set: [Active, Inactive]")

	_, err = b.iam.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: &b.Key.ID})
	refused(t, err, "NoSuchEntity", "The Access Key with id "+b.Key.ID+" cannot be found.")
	for range 8 {
		b.key("ann")
	}
	_, err = b.iam.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: aws.String("ann")})
	refused(t, err, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 10")
}

// The root user can replace its key, but not delete the last one.
func TestRootKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	_, err := b.iam.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{AccessKeyId: &b.Key.ID})
	refused(t, err, "DeleteConflict", "last active access key of the root user")
	_, err = b.iam.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{AccessKeyId: &b.Key.ID, Status: types.StatusTypeInactive})
	refused(t, err, "DeleteConflict", "last active access key of the root user")
	out, err := b.iam.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{})
	must(t, err)
	other := b.as(*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey, "")
	must(t, second(other.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{AccessKeyId: &b.Key.ID})))
	_, err = b.iam.GetUser(ctx, &awsiam.GetUserInput{})
	refused(t, err, "InvalidClientTokenId", "")
}

func TestPolicyTags(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	tags := func(key, value string) []types.Tag { return []types.Tag{{Key: &key, Value: &value}} }
	document := aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}}`)
	out, err := b.iam.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: aws.String("look"), PolicyDocument: document, Tags: tags("k", "v")})
	must(t, err)
	arn := out.Policy.Arn
	must(t, second(b.iam.TagPolicy(ctx, &awsiam.TagPolicyInput{PolicyArn: arn, Tags: tags("l", "w")})))
	must(t, second(b.iam.UntagPolicy(ctx, &awsiam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{"k", "none"}})))
	list, err := b.iam.ListPolicyTags(ctx, &awsiam.ListPolicyTagsInput{PolicyArn: arn})
	if err != nil || len(list.Tags) != 1 || *list.Tags[0].Key != "l" || *list.Tags[0].Value != "w" {
		t.Errorf("%+v, %v", list, err)
	}
	got, err := b.iam.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: arn})
	if err != nil || len(got.Policy.Tags) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	var many []types.Tag
	for i := range 50 {
		many = append(many, tags(fmt.Sprint(i), "")...)
	}
	refused(t, second(b.iam.TagPolicy(ctx, &awsiam.TagPolicyInput{PolicyArn: arn, Tags: many})), "LimitExceeded", "maximum limit of 50")
	for code, arn := range map[string]string{
		"NoSuchEntity": "arn:aws:iam::000000000000:policy/none", "ValidationError": "arn:aws:iam::aws:policy/AdministratorAccess",
	} {
		refused(t, second(b.iam.TagPolicy(ctx, &awsiam.TagPolicyInput{PolicyArn: &arn, Tags: tags("l", "w")})), code, "")
		refused(t, second(b.iam.UntagPolicy(ctx, &awsiam.UntagPolicyInput{PolicyArn: &arn, TagKeys: []string{"l"}})), code, "")
	}
}

func TestTagForm(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ann", "")
	set := func(keysAndValues ...string) error {
		in := awsiam.TagUserInput{UserName: aws.String("ann")}
		for i := 0; i < len(keysAndValues); i += 2 {
			in.Tags = append(in.Tags, types.Tag{Key: &keysAndValues[i], Value: &keysAndValues[i+1]})
		}
		return second(b.iam.TagUser(t.Context(), &in))
	}
	must(t, set("a b_.:/=+-@", "漢 é 1", strings.Repeat("é", 128), strings.Repeat("é", 256)))
	for _, c := range []struct {
		tags []string
		want string
	}{
		{[]string{"a\x01", ""}, "'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\p{L}"},
		{[]string{"a", "", "b", "<b>"}, "'tags.2.member.value' failed"},
		{[]string{"a", "x\ny"}, "'tags.1.member.value' failed"},
		{[]string{"Team", "x", "team", "y"}, "Tag keys are case insensitive"},
		{[]string{"", "x"}, "a key of 1 to 128 characters"},
		{[]string{"a", strings.Repeat("é", 257)}, "a value of at most 256"},
	} {
		refused(t, set(c.tags...), "ValidationError", c.want)
	}
}

// A user who may tag only with some keys, and create policies only without tags.
func TestTagKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	ann := b.user("ann", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:TagPolicy","iam:UntagPolicy","iam:UntagUser"],"Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["mine"]}}},
		{"Effect":"Allow","Action":"iam:CreatePolicy","Resource":"*"}]}`)
	document := aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}}`)
	create := func(name, key string) (*string, error) {
		in := awsiam.CreatePolicyInput{PolicyName: &name, PolicyDocument: document}
		if key != "" {
			in.Tags = []types.Tag{{Key: &key, Value: aws.String("v")}}
		}
		out, err := ann.CreatePolicy(ctx, &in)
		if err != nil {
			return nil, err
		}
		return out.Policy.Arn, nil
	}
	arn, err := create("plain", "")
	must(t, err)
	must(t, second(create("tagged", "mine")))
	refused(t, second(create("other", "yours")), "AccessDenied", "iam:TagPolicy on resource: arn:aws:iam::000000000000:policy/other")
	for key, check := range map[string]func(error){
		"mine": func(err error) { t.Helper(); must(t, err) }, "yours": func(err error) { t.Helper(); refused(t, err, "AccessDenied", "") },
	} {
		check(second(ann.TagPolicy(ctx, &awsiam.TagPolicyInput{PolicyArn: arn, Tags: []types.Tag{{Key: &key, Value: aws.String("v")}}})))
		check(second(ann.UntagPolicy(ctx, &awsiam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{key}})))
		check(second(ann.UntagUser(ctx, &awsiam.UntagUserInput{UserName: aws.String("ann"), TagKeys: []string{key}})))
	}
}

func TestManagedPolicies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	longest := strings.Repeat("é", 1000)
	must(t, second(b.iam.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: aws.String("described"), PolicyDocument: aws.String(allowAll), Description: &longest})))
	longest += "é"
	_, err := b.iam.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: aws.String("longer"), PolicyDocument: aws.String(allowAll), Description: &longest})
	refused(t, err, "ValidationError", "less than or equal to 1000")
	document := "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\"Effect\": \"Allow\", \"Action\": \"iam:ListUsers\", \"Resource\": \"*\"}\n}"
	out, err := b.iam.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: aws.String("look"), Path: aws.String("/p/"), PolicyDocument: &document, Description: aws.String("d é")})
	must(t, err)
	arn := out.Policy.Arn
	if *arn != "arn:aws:iam::000000000000:policy/p/look" || *out.Policy.DefaultVersionId != "v1" || !strings.HasPrefix(*out.Policy.PolicyId, "ANPA") || *out.Policy.AttachmentCount != 0 {
		t.Errorf("%+v", out.Policy)
	}
	v, err := b.iam.GetPolicyVersion(ctx, &awsiam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	must(t, err)
	if text, err := url.PathUnescape(*v.PolicyVersion.Document); err != nil || text != document || !v.PolicyVersion.IsDefaultVersion {
		t.Errorf("%q, %v", text, err)
	}

	ann := b.user("ann", "")
	list := func() error { return second(ann.ListUsers(ctx, &awsiam.ListUsersInput{})) }
	refused(t, list(), "AccessDenied", "User: "+userARN+"ann is not authorized to perform: iam:ListUsers on resource: * because no identity-based policy allows the iam:ListUsers action")
	must(t, second(b.iam.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: arn})))
	must(t, list())
	attached, err := b.iam.ListAttachedUserPolicies(ctx, &awsiam.ListAttachedUserPoliciesInput{UserName: aws.String("ann")})
	if err != nil || len(attached.AttachedPolicies) != 1 || *attached.AttachedPolicies[0].PolicyName != "look" {
		t.Errorf("%+v, %v", attached, err)
	}
	entities, err := b.iam.ListEntitiesForPolicy(ctx, &awsiam.ListEntitiesForPolicyInput{PolicyArn: arn})
	if err != nil || len(entities.PolicyUsers) != 1 || *entities.PolicyUsers[0].UserName != "ann" {
		t.Errorf("%+v, %v", entities, err)
	}
	got, err := b.iam.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: arn})
	if err != nil || *got.Policy.AttachmentCount != 1 || *got.Policy.Description != "d é" {
		t.Errorf("%+v, %v", got, err)
	}

	deny := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
	next, err := b.iam.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &deny})
	if err != nil || *next.PolicyVersion.VersionId != "v2" || next.PolicyVersion.IsDefaultVersion {
		t.Errorf("%+v, %v", next, err)
	}
	must(t, list())
	must(t, second(b.iam.SetDefaultPolicyVersion(ctx, &awsiam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")})))
	refused(t, list(), "AccessDenied", "with an explicit deny in an identity-based policy")
	for range 3 {
		must(t, second(b.iam.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &deny, SetAsDefault: true})))
	}
	_, err = b.iam.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &deny})
	refused(t, err, "LimitExceeded", "A managed policy can have up to 5 versions.")
	_, err = b.iam.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: arn})
	refused(t, err, "DeleteConflict", "Cannot delete a policy attached to entities.")
	must(t, second(b.iam.DetachUserPolicy(ctx, &awsiam.DetachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: arn})))
	_, err = b.iam.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: arn})
	refused(t, err, "DeleteConflict", "This policy has more than one version.")
	versions, err := b.iam.ListPolicyVersions(ctx, &awsiam.ListPolicyVersionsInput{PolicyArn: arn})
	must(t, err)
	for _, v := range versions.Versions {
		_, err := b.iam.DeletePolicyVersion(ctx, &awsiam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: v.VersionId})
		if v.IsDefaultVersion {
			refused(t, err, "DeleteConflict", "Cannot delete the default version of a policy.")
		} else {
			must(t, err)
		}
	}
	must(t, second(b.iam.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: arn})))
	_, err = b.iam.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: arn})
	refused(t, err, "NoSuchEntity", "Policy "+*arn+" was not found.")
	_, err = b.iam.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: arn})
	refused(t, err, "NoSuchEntity", "was not found")
}

func TestAWSManagedPolicies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	list, err := b.iam.ListPolicies(ctx, &awsiam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws})
	must(t, err)
	for _, p := range list.Policies {
		v, err := b.iam.GetPolicyVersion(ctx, &awsiam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId})
		must(t, err)
		text, err := url.PathUnescape(*v.PolicyVersion.Document)
		must(t, err)
		// AWS-managed policies can be attached.
		must(t, second(b.iam.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: p.PolicyName, PolicyDocument: &text})))
		_, err = b.iam.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: &text})
		refused(t, err, "ValidationError", "is managed by AWS and cannot be changed")
	}
	if len(list.Policies) != 3 {
		t.Errorf("%d policies are AWS-managed", len(list.Policies))
	}
	own, err := b.iam.ListPolicies(ctx, &awsiam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal})
	if err != nil || len(own.Policies) != 3 {
		t.Errorf("%+v, %v", own, err)
	}
	used, err := b.iam.ListPolicies(ctx, &awsiam.ListPoliciesInput{OnlyAttached: true})
	if err != nil || len(used.Policies) != 0 {
		t.Errorf("%+v, %v", used, err)
	}
	ann := b.user("ann", "")
	must(t, second(b.iam.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})))
	must(t, second(ann.ListUsers(ctx, &awsiam.ListUsersInput{})))
}

func TestInlinePolicies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	must(t, second(b.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("ann")})))
	put := func(name, document string) error {
		return second(b.iam.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: &name, PolicyDocument: &document}))
	}
	must(t, put("a", allowAll))
	must(t, put("b", allowAll))
	must(t, put("a", strings.Replace(allowAll, "Allow", "Deny", 1)))
	got, err := b.iam.GetUserPolicy(ctx, &awsiam.GetUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("a")})
	must(t, err)
	if text, _ := url.PathUnescape(*got.PolicyDocument); !strings.Contains(text, "Deny") {
		t.Errorf("%q", text)
	}
	list, err := b.iam.ListUserPolicies(ctx, &awsiam.ListUserPoliciesInput{UserName: aws.String("ann")})
	if err != nil || !cmp.Equal(list.PolicyNames, []string{"a", "b"}) {
		t.Errorf("%+v, %v", list, err)
	}
	err = put("c", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ListUsers","Resource":"*"}]}`)
	refused(t, err, "MalformedPolicyDocument", "Statement[0].Action: Actions/Conditions must be prefaced by a vendor")
	if _, ok := errors.AsType[*types.MalformedPolicyDocumentException](err); !ok {
		t.Errorf("%v is not typed", err)
	}
	long := `{"Version":"2012-10-17","Statement":[{"Sid":"` + strings.Repeat("x", 2000) + `","Effect":"Allow","Action":"*","Resource":"*"}]}`
	refused(t, put("c", long), "LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user ann")
	must(t, put("d", strings.ReplaceAll(allowAll, ":", ":"+strings.Repeat(" ", 500)))) // white space does not count
	refused(t, put("c", "{\"a\u0416\":1}"), "ValidationError", "printable ASCII")
	_, err = b.iam.GetUserPolicy(ctx, &awsiam.GetUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("z")})
	refused(t, err, "NoSuchEntity", "The user policy with name z cannot be found.")
	_, err = b.iam.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("z")})
	refused(t, err, "NoSuchEntity", "The user policy with name z cannot be found.")
}

// A user who may manage only their own keys.
func TestSelfService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	ann := b.user("ann", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:*AccessKey*","Resource":"arn:aws:iam::*:user/${aws:username}"}}`)
	b.user("bob", "")
	must(t, second(ann.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{})))
	must(t, second(ann.ListAccessKeys(ctx, &awsiam.ListAccessKeysInput{UserName: aws.String("ann")})))
	_, err := ann.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: aws.String("bob")})
	refused(t, err, "AccessDenied", "iam:CreateAccessKey on resource: "+userARN+"bob")
	_, err = ann.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: aws.String("nobody")})
	refused(t, err, "AccessDenied", userARN+"nobody")
	_, err = ann.GetUser(ctx, &awsiam.GetUserInput{})
	refused(t, err, "AccessDenied", "iam:GetUser on resource: "+userARN+"ann")
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	document := `{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "apprunner:*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
    {
      "Effect": "Deny", "Action": "apprunner:Delete*", "Resource": "arn:aws:apprunner:*:*:service/prod/*"
    }
  ]
}`
	b.user("ann", document)
	b.Update(func(tx *store.Tx) error { return tx.SetTags("arn:t", []slipway.Tag{{Key: "k", Value: "v"}}) })
	prod := "arn:aws:apprunner:us-east-1:000000000000:service/prod/1"
	in := &awsiam.SimulatePrincipalPolicyInput{
		PolicySourceArn: aws.String(userARN + "ann"), ActionNames: []string{"apprunner:ListServices", "apprunner:DeleteService"}, ResourceArns: []string{"*", prod},
		ContextEntries: []types.ContextEntry{{ContextKeyName: aws.String("aws:SourceIp"), ContextKeyType: types.ContextKeyTypeEnumIp, ContextKeyValues: []string{"10.1.1.1"}}},
	}
	out, err := b.iam.SimulatePrincipalPolicy(ctx, in)
	must(t, err)
	var got []string
	for _, r := range out.EvaluationResults {
		line := *r.EvalActionName + " " + *r.EvalResourceName + " " + string(r.EvalDecision)
		for _, m := range r.MatchedStatements {
			line += fmt.Sprintf(" %s %s %d:%d-%d:%d", *m.SourcePolicyId, m.SourcePolicyType, m.StartPosition.Line, m.StartPosition.Column, m.EndPosition.Line, m.EndPosition.Column)
		}
		got = append(got, line)
	}
	want := []string{
		"apprunner:ListServices * allowed p user 4:5-4:126",
		"apprunner:ListServices " + prod + " allowed p user 4:5-4:126",
		"apprunner:DeleteService * allowed p user 4:5-4:126",
		"apprunner:DeleteService " + prod + " explicitDeny p user 5:5-7:6",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	in.ContextEntries = nil
	out, err = b.iam.SimulatePrincipalPolicy(ctx, in)
	if err != nil || out.EvaluationResults[0].EvalDecision != types.PolicyEvaluationDecisionTypeImplicitDeny {
		t.Errorf("%+v, %v", out, err)
	}
	in.PolicyInputList = []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"x:y","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/K":"v"}}}}`}
	in.ActionNames, in.ResourceArns = []string{"x:y"}, []string{"arn:t", "arn:u"}
	out, err = b.iam.SimulatePrincipalPolicy(ctx, in)
	must(t, err)
	if r := out.EvaluationResults; r[0].EvalDecision != "allowed" || r[1].EvalDecision != "implicitDeny" {
		t.Errorf("%+v", r)
	}
	in.PolicySourceArn = aws.String(userARN + "x/ann")
	_, err = b.iam.SimulatePrincipalPolicy(ctx, in)
	refused(t, err, "NoSuchEntity", "cannot be found")
}

func TestSTS(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	me, err := b.sts(b.Key.ID, b.Key.Secret, "").GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *me.Arn != "arn:aws:iam::000000000000:root" || *me.Account != "000000000000" || *me.UserId != "000000000000" {
		t.Errorf("%+v, %v", me, err)
	}
	b.user("ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:*","Resource":"*"},{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}]}`)
	k := b.key("ann")
	ann := b.sts(*k.AccessKeyId, *k.SecretAccessKey, "")
	me, err = ann.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *me.Arn != userARN+"ann" || !strings.HasPrefix(*me.UserId, "AIDA") {
		t.Errorf("%+v, %v", me, err)
	}

	out, err := ann.GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
	must(t, err)
	c := out.Credentials
	if !strings.HasPrefix(*c.AccessKeyId, "ASIA") || c.Expiration.Sub(b.Clock.Now()) > 15*time.Minute || c.Expiration.Sub(b.Clock.Now()) < 14*time.Minute {
		t.Errorf("%+v", c)
	}
	b.Update(func(tx *store.Tx) error {
		stored, err := tx.Credentials(*c.AccessKeyId)
		if strings.Contains(stored.Secret, *c.SecretAccessKey) {
			t.Error("the secret is stored as it is")
		}
		return err
	})
	session := b.sts(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	me, err = session.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *me.Arn != userARN+"ann" {
		t.Errorf("%+v, %v", me, err)
	}
	must(t, second(b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken).ListUsers(ctx, &awsiam.ListUsersInput{})))
	_, err = b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken).GetUser(ctx, &awsiam.GetUserInput{})
	refused(t, err, "AccessDenied", "iam:GetUser")
	_, err = b.sts(*c.AccessKeyId, *c.SecretAccessKey, "x").GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	refused(t, err, "InvalidClientTokenId", "is invalid")
	_, err = session.GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	refused(t, err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	_, err = ann.GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(899)})
	refused(t, err, "ValidationError", "durationSeconds")
	b.Update(func(tx *store.Tx) error { // one user's share is full
		for i := range 999 {
			s := slipway.Session{ID: fmt.Sprint("ASIA", i), User: "ann", CreatedAt: b.Clock.Now(), ExpiresAt: b.Clock.Now().Add(time.Hour)}
			if err := tx.InsertSession(s, b.Clock.Now().Add(-time.Hour)); err != nil {
				return err
			}
		}
		return nil
	})
	_, err = ann.GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	refused(t, err, "LimitExceeded", "You have 1000 temporary credentials that are valid")
	root, err := b.sts(b.Key.ID, b.Key.Secret, "").GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	if err != nil || root.Credentials.Expiration.Sub(b.Clock.Now()) > time.Hour {
		t.Errorf("%+v, %v", root, err)
	}
	b.Update(func(tx *store.Tx) error { // only for the session time passes: SDKs sign with the real time
		s, err := tx.Credentials(*c.AccessKeyId)
		s.ID, s.ExpiresAt = "ASIAEXPIRED", b.Clock.Now().Add(-time.Minute)
		s.Secret = iam.Keys{Vault: rot{}}.Seal(s.ID, *c.SecretAccessKey)
		return errors.Join(err, tx.InsertSession(s.Session, time.Time{}))
	})
	_, err = b.sts("ASIAEXPIRED", *c.SecretAccessKey, *c.SessionToken).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	refused(t, err, "ExpiredToken", "The security token included in the request is expired")
}

// A raw call, as it is on the wire.
func TestWire(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, b.Form("sts", "2011-06-15", "GetCallerIdentity"))
	want := `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
		`<Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn><UserId>000000000000</UserId></GetCallerIdentityResult>` +
		`<ResponseMetadata><RequestId>` + w.Header().Get("X-Amzn-Requestid") + `</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("%d %s\nwant %s", w.Code, w.Body, want)
	}
}

func TestKeysWithoutVault(t *testing.T) {
	t.Parallel()
	var plain iam.Keys
	sealing := iam.Keys{Vault: rot{}}
	if plain.Seal("id", "s") != "s" {
		t.Error("sealed with nothing")
	}
	for _, k := range []iam.Keys{plain, sealing} {
		if s, err := k.Unseal("id", "s"); s != "s" || err != nil {
			t.Errorf("a secret of old: %q, %v", s, err)
		}
	}
	if s, err := plain.Unseal("id", sealing.Seal("id", "s")); err == nil {
		t.Errorf("opened without a vault: %q", s)
	}
	if s, err := sealing.Unseal("other", sealing.Seal("id", "s")); err == nil {
		t.Errorf("opened for another key: %q", s)
	}
}

// Lists decide about each user and policy: a Deny by ARN applies, page by page.
func TestShown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ann := b.user("ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"},
		{"Effect":"Deny","Action":"iam:*","Resource":["arn:aws:iam::*:user/hidden*","arn:aws:iam::*:policy/hidden*"]}]}`)
	b.user("hidden-1", "")
	b.user("zoe", "")
	const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	for _, name := range []string{"hidden-1", "seen"} {
		p, err := b.iam.CreatePolicy(t.Context(), &awsiam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(document)})
		must(b, err)
		if name == "seen" {
			for _, user := range []string{"hidden-1", "zoe"} {
				must(b, second(b.iam.AttachUserPolicy(t.Context(), &awsiam.AttachUserPolicyInput{UserName: &user, PolicyArn: p.Policy.Arn})))
			}
		}
	}
	seen := aws.String("arn:aws:iam::" + gatewaytest.Account + ":policy/seen")
	for client, want := range map[*awsiam.Client]string{ann: "ann,zoe seen zoe", b.iam: "ann,hidden-1,zoe hidden-1,seen hidden-1,zoe"} {
		var users, policies, attached []string
		for in := (&awsiam.ListUsersInput{MaxItems: aws.Int32(1)}); ; {
			out, err := client.ListUsers(t.Context(), in)
			must(b, err)
			for _, u := range out.Users {
				users = append(users, *u.UserName)
			}
			if in.Marker = out.Marker; !out.IsTruncated {
				break
			}
		}
		listed, err := client.ListPolicies(t.Context(), &awsiam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal})
		must(b, err)
		for _, p := range listed.Policies {
			policies = append(policies, *p.PolicyName)
		}
		entities, err := client.ListEntitiesForPolicy(t.Context(), &awsiam.ListEntitiesForPolicyInput{PolicyArn: seen})
		must(b, err)
		for _, u := range entities.PolicyUsers {
			attached = append(attached, *u.UserName)
		}
		if got := strings.Join(users, ",") + " " + strings.Join(policies, ",") + " " + strings.Join(attached, ","); got != want {
			t.Errorf("listed are %s, want %s", got, want)
		}
	}
}
