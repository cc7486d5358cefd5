package api

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// passedTo is the value of iam:PassedToService when a call passes a role to App
// Runner. AWSAppRunnerFullAccess expects it.
const passedTo = "apprunner.amazonaws.com"

// on returns the permission required by an operation on one resource, whose ARN
// is in the input.
func on[I any](a *API, arn func(*I) *string) gateway.Permissions[I] {
	return func(tx *store.Tx, in *I) ([]gateway.Permission, error) {
		return []gateway.Permission{a.needs(tx, arn(in))}, nil
	}
}

// needs returns the permission required on the resource that an ARN names.
func (a *API) needs(tx *store.Tx, arn *string) gateway.Permission {
	return gateway.Permission{Resource: a.full(tx, arn), Named: aws.ToString(arn)}
}

// creates returns the permissions required by an operation that creates a
// resource with a name and tags.
func creates[I any](a *API, kind string, of func(*I) (*string, []types.Tag)) gateway.Permissions[I] {
	return func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		name, tags := of(in)
		return withTags(gateway.Permission{Resource: a.future(kind, name), Context: tagKeys(tags)}, tags), nil
	}
}

// completeConnectionPermissions: App Runner's console completes a connection
// under the permission to create one.
func (a *API) completeConnectionPermissions(tx *store.Tx, in *CompleteConnectionInput) ([]gateway.Permission, error) {
	list, err := onConnection(a, func(in *CompleteConnectionInput) *string { return in.ConnectionName })(tx, in)
	for i := range list {
		list[i].Action = "apprunner:CreateConnection"
	}
	return list, err
}

// createCodeConnectionPermissions are those of CreateConnection.
func (a *API) createCodeConnectionPermissions(_ *store.Tx, in *CreateCodeConnectionInput) ([]gateway.Permission, error) {
	n := gateway.Permission{Action: "apprunner:CreateConnection", Resource: a.future("connection", in.ConnectionName), Context: tagKeys(in.Tags)}
	return withTags(n, in.Tags), nil
}

// onConnection returns the permission required by an operation on the connection of a
// name. A denial names it alike whether or not it exists.
func onConnection[I any](a *API, name func(*I) *string) gateway.Permissions[I] {
	return func(tx *store.Tx, in *I) ([]gateway.Permission, error) {
		p := gateway.Permission{Resource: a.future("connection", name(in)), Named: a.future("connection", name(in))}
		c, err := tx.ConnectionByName(aws.ToString(name(in)))
		if errors.Is(err, store.ErrNotFound) {
			return []gateway.Permission{p}, nil
		}
		p.Resource = c.ARN
		return []gateway.Permission{p}, err
	}
}

// full returns the full ARN of the resource that an ARN names, also without
// revision or id, so that an abbreviated ARN cannot bypass a policy. An unknown
// ARN is returned unchanged: only authorized callers may learn that it does not
// exist.
func (a *API) full(tx *store.Tx, text *string) string {
	if arn, _, err := a.findTaggable(tx, aws.ToString(text)); err == nil {
		return arn
	}
	if aws.ToString(text) == "" {
		return "*"
	}
	return *text
}

// future returns the ARN pattern of a resource that a call creates: the part
// after its name is not known yet.
func (a *API) future(kind string, name *string) string {
	return a.arn(kind, aws.ToString(name), "*")
}

// withTags adds the permission to tag if the call sets tags.
func withTags(n gateway.Permission, in []types.Tag) []gateway.Permission {
	return n.WithTagging("apprunner:TagResource", len(in) > 0)
}

// tagKeys are the condition keys of a call that sets tags.
func tagKeys(in []types.Tag) policy.Context { return tags.Set(tagsOf(in)) }

func (a *API) createServicePermissions(tx *store.Tx, in *apprunner.CreateServiceInput) ([]gateway.Permission, error) {
	parts := serviceParts{in.SourceConfiguration, in.InstanceConfiguration, in.NetworkConfiguration, in.ObservabilityConfiguration, in.AutoScalingConfigurationArn}
	keys, others := a.references(tx, parts)
	required := withTags(gateway.Permission{Resource: a.future("service", in.ServiceName), Context: tagKeys(in.Tags).With(keys)}, in.Tags)
	reads, err := a.reads(tx, secretsOf(in.SourceConfiguration), buildSecrets(tagsOf(in.Tags)))
	if err != nil {
		return nil, err
	}
	pulls, err := a.pulls(in.SourceConfiguration)
	return slices.Concat(required, others, roles(parts), reads, pulls), err
}

func (a *API) updateServicePermissions(tx *store.Tx, in *apprunner.UpdateServiceInput) ([]gateway.Permission, error) {
	parts := serviceParts{in.SourceConfiguration, in.InstanceConfiguration, in.NetworkConfiguration, in.ObservabilityConfiguration, in.AutoScalingConfigurationArn}
	named, passed := parts, roles(parts)
	var reads []gateway.Permission
	if in.SourceConfiguration != nil {
		have, err := a.findLivingService(tx, aws.ToString(in.ServiceArn))
		if _, refused := errors.AsType[*slipway.Error](err); err != nil && !refused {
			return nil, err
		} // of a refused one, have is empty: the call fails
		if auth := in.SourceConfiguration.AuthenticationConfiguration; auth == nil || aws.ToString(auth.ConnectionArn) == "" {
			named.source = &have.Spec.Source // a source that names no connection is read with the service's
		}
		if reads, err = a.updateReads(tx, in.SourceConfiguration, have); err != nil {
			return nil, err
		}
	}
	keys, others := a.references(tx, named)
	service := a.needs(tx, in.ServiceArn)
	service.Context = keys
	return slices.Concat([]gateway.Permission{service}, others, passed, reads), nil
}

// updateReads returns the permissions to read what a service refers to after an update of
// its source, and its image. Whoever changes what runs, its command or its variables can
// have it tell the values of references that were there before, so any source configuration
// requires them all.
func (a *API) updateReads(tx *store.Tx, source *types.SourceConfiguration, have slipway.ServiceView) ([]gateway.Permission, error) {
	list, err := tx.Tags(have.ARN)
	if err != nil {
		return nil, err
	}
	references := secretsOf(source)
	if references == nil { // an absent map leaves them as they are
		references = secretsOf(&have.Spec.Source)
	}
	reads, err := a.reads(tx, references, buildSecrets(list))
	if err != nil {
		return nil, err
	}
	if source.ImageRepository == nil {
		source = &have.Spec.Source
	}
	pulls, err := a.pulls(source)
	return slices.Concat(reads, pulls), err
}

// pulls returns the permissions to have a service run the image of a source. What is no
// image's name requires none: the call refuses it.
func (a *API) pulls(s *types.SourceConfiguration) ([]gateway.Permission, error) {
	if a.cfg.ImageNeeds == nil || s == nil || s.ImageRepository == nil {
		return nil, nil
	}
	list, err := a.cfg.ImageNeeds(aws.ToString(s.ImageRepository.ImageIdentifier))
	if _, invalid := errors.AsType[*slipway.Error](err); invalid {
		return nil, nil
	}
	return list, err
}

// tagResourcePermissions: the settings of a service are tags. They refer to secrets, and
// decide what is built and runs with those that the service has.
func (a *API) tagResourcePermissions(tx *store.Tx, in *apprunner.TagResourceInput) ([]gateway.Permission, error) {
	resource := a.needs(tx, in.ResourceArn)
	resource.Context = tagKeys(in.Tags)
	given := tagsOf(in.Tags)
	keys := make([]string, len(given))
	for i, t := range given {
		keys[i] = t.Key
	}
	reads, err := a.settingReads(tx, in.ResourceArn, keys)
	if err != nil {
		return nil, err
	}
	added, err := a.reads(tx, buildSecrets(given))
	return slices.Concat([]gateway.Permission{resource}, reads, added), err
}

func (a *API) untagResourcePermissions(tx *store.Tx, in *apprunner.UntagResourceInput) ([]gateway.Permission, error) {
	reads, err := a.settingReads(tx, in.ResourceArn, in.TagKeys)
	resource := a.needs(tx, in.ResourceArn)
	resource.Context = tags.Removed(in.TagKeys)
	return append([]gateway.Permission{resource}, reads...), err
}

// settingReads returns the permissions to read what a service refers to if one of the
// keys of tags is a setting's: the service, its builds and the code that it runs.
func (a *API) settingReads(tx *store.Tx, arn *string, keys []string) ([]gateway.Permission, error) {
	if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, slipway.SettingPrefix) }) {
		return nil, nil
	}
	v, err := a.findLivingService(tx, aws.ToString(arn))
	if _, refused := errors.AsType[*slipway.Error](err); refused {
		return nil, nil // the call fails
	} else if err != nil {
		return nil, err
	}
	list, err := tx.Tags(v.ARN)
	if err != nil {
		return nil, err
	}
	var code map[string]string // apprunner.yaml's
	if v.ActiveRelease != "" {
		r, err := tx.Release(v.ActiveRelease)
		if err != nil {
			return nil, err
		}
		if r.Code != nil {
			code = r.Code.Secrets
		}
	}
	return a.reads(tx, secretsOf(&v.Spec.Source), buildSecrets(list), code)
}

// reads returns the permissions to read what references name. What is no reference
// requires none: the call refuses it.
func (a *API) reads(tx *store.Tx, references ...map[string]string) ([]gateway.Permission, error) {
	var required []gateway.Permission
	for _, list := range references {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if a.cfg.SecretNeed == nil {
				continue
			}
			p, err := a.cfg.SecretNeed(tx, list[name])
			if _, invalid := errors.AsType[*slipway.Error](err); invalid {
				continue
			}
			if err != nil {
				return nil, err
			}
			required = append(required, p)
		}
	}
	return required, nil
}

// secretsOf is runtimeSecrets for a source that may be missing.
func secretsOf(s *types.SourceConfiguration) map[string]string {
	if s == nil {
		return nil
	}
	return runtimeSecrets(*s)
}

// buildSecrets returns the references of builds that are settings among tags. Tags that
// are no settings have none: the call refuses them.
func buildSecrets(list []slipway.Tag) map[string]string {
	s, err := slipway.ParseSettings("service", list)
	if err != nil {
		return nil
	}
	return s.Build.Secrets
}

// deleteServicePermissions: deleting a service also disassociates its custom
// domains.
func (a *API) deleteServicePermissions(tx *store.Tx, in *apprunner.DeleteServiceInput) ([]gateway.Permission, error) {
	service := a.needs(tx, in.ServiceArn)
	domains := service
	domains.Action = "apprunner:DisassociateCustomDomain"
	return []gateway.Permission{service, domains}, nil
}

// serviceParts is the part of a service's input that its permissions depend on.
type serviceParts struct {
	source        *types.SourceConfiguration
	instance      *types.InstanceConfiguration
	network       *types.NetworkConfiguration
	observability *types.ServiceObservabilityConfiguration
	scaling       *string
}

// references returns the condition keys of the resources that a service refers
// to, and permissions for these resources, which only a Deny can refuse.
func (a *API) references(tx *store.Tx, p serviceParts) (policy.Context, []gateway.Permission) {
	keys := policy.NewContext()
	var required []gateway.Permission
	add := func(key string, arn *string) {
		if aws.ToString(arn) == "" {
			return
		}
		full := a.full(tx, arn)
		keys.Set("apprunner:"+key, full)
		required = append(required, gateway.Permission{Resource: full, Named: *arn, DenyOnly: true})
	}
	add("AutoScalingConfigurationArn", p.scaling)
	if s := p.source; s != nil && s.AuthenticationConfiguration != nil {
		add("ConnectionArn", s.AuthenticationConfiguration.ConnectionArn)
	}
	if p.observability != nil {
		add("ObservabilityConfigurationArn", p.observability.ObservabilityConfigurationArn)
	}
	if n := p.network; n != nil && n.EgressConfiguration != nil {
		add("VpcConnectorArn", n.EgressConfiguration.VpcConnectorArn)
	}
	return keys, required
}

// roles returns the permissions to pass the roles that a call names.
func roles(p serviceParts) []gateway.Permission {
	keys := policy.NewContext()
	keys.Set("iam:PassedToService", passedTo)
	var required []gateway.Permission
	add := func(arn *string) {
		if aws.ToString(arn) != "" {
			required = append(required, gateway.Permission{Action: "iam:PassRole", Resource: *arn, Context: keys})
		}
	}
	if s := p.source; s != nil && s.AuthenticationConfiguration != nil {
		add(s.AuthenticationConfiguration.AccessRoleArn)
	}
	if p.instance != nil {
		add(p.instance.InstanceRoleArn)
	}
	return required
}

func (a *API) createVPCIngressPermissions(tx *store.Tx, in *apprunner.CreateVpcIngressConnectionInput) ([]gateway.Permission, error) {
	keys := tagKeys(in.Tags).With(endpointKeys(in.IngressVpcConfiguration))
	n := gateway.Permission{Resource: a.future("vpcingressconnection", in.VpcIngressConnectionName), Context: keys}
	if aws.ToString(in.ServiceArn) == "" {
		return withTags(n, in.Tags), nil
	}
	service := a.full(tx, in.ServiceArn)
	keys.Set("apprunner:ServiceArn", service)
	return append(withTags(n, in.Tags), gateway.Permission{Resource: service, Named: *in.ServiceArn, Context: keys, DenyOnly: true}), nil
}

func (a *API) updateVPCIngressPermissions(tx *store.Tx, in *apprunner.UpdateVpcIngressConnectionInput) ([]gateway.Permission, error) {
	connection := a.needs(tx, in.VpcIngressConnectionArn)
	connection.Context = endpointKeys(in.IngressVpcConfiguration)
	return []gateway.Permission{connection}, nil
}

func endpointKeys(c *types.IngressVpcConfiguration) policy.Context {
	keys := policy.NewContext()
	if c != nil && c.VpcId != nil {
		keys.Set("apprunner:VpcId", *c.VpcId)
	}
	if c != nil && c.VpcEndpointId != nil {
		keys.Set("apprunner:VpcEndpointId", *c.VpcEndpointId)
	}
	return keys
}
