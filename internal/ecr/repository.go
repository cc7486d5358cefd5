package ecr

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// repository describes a repository.
type repository struct {
	ARN        string      `json:"repositoryArn"`
	RegistryID string      `json:"registryId"`
	Name       string      `json:"repositoryName"`
	URI        string      `json:"repositoryUri"`
	CreatedAt  time.Time   `json:"createdAt"`
	Mutability string      `json:"imageTagMutability"`
	Exclusions []exclusion `json:"imageTagMutabilityExclusionFilters"`
	Scanning   scanning    `json:"imageScanningConfiguration"`
	Encryption encryption  `json:"encryptionConfiguration"`
}

type exclusion struct {
	Type   string `json:"filterType"`
	Filter string `json:"filter"`
}

type scanning struct {
	OnPush bool `json:"scanOnPush"`
}

type encryption struct {
	Type   string  `json:"encryptionType"`
	KMSKey *string `json:"kmsKey"`
}

// describe returns r as the API shows it. Its URI has ECR's form, which App
// Runner's API and Terraform require of an image; this server maps it to its own
// registry.
func (e *ECR) describe(r slipway.Repository) repository {
	v := repository{
		ARN: e.ARN(r.Name), RegistryID: e.cfg.Account, Name: r.Name,
		URI:        e.cfg.Account + ".dkr.ecr." + e.cfg.Region + ".amazonaws.com/" + r.Name,
		CreatedAt:  r.CreatedAt,
		Mutability: cmp.Or(r.Mutability, tagsMutable),
		Scanning:   scanning{r.ScanOnPush},
		Encryption: encryption{Type: cmp.Or(r.Encryption, "AES256"), KMSKey: some(r.KMSKey)},
	}
	for _, f := range r.Exclusions {
		v.Exclusions = append(v.Exclusions, exclusion{"WILDCARD", f})
	}
	return v
}

// transaction runs a transaction: View or Update.
type transaction func(context.Context, func(*store.Tx) error) error

// errNoRow ends a transaction if the repository has no row.
var errNoRow = errors.New("the repository has no row")

// withRepository runs f in a transaction with the repository of a call. A
// repository that was pushed to but not created has no row, only files of the
// image store. These are read between two transactions, so that no other
// transaction waits for the read.
func (e *ECR) withRepository(ctx context.Context, ref repositoryRef, run transaction, f func(*store.Tx, slipway.Repository) error) error {
	name := ref.name()
	if err := checkName(name); err != nil {
		return err
	}
	missing := exception("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'",
		name, cmp.Or(aws.ToString(ref.RegistryID), e.cfg.Account))
	if ref.RegistryID != nil && *ref.RegistryID != e.cfg.Account {
		return missing
	}
	var pushed slipway.Repository
	try := func() error {
		return run(ctx, func(tx *store.Tx) error {
			r, err := tx.Repository(name)
			if errors.Is(err, store.ErrNotFound) {
				if pushed.Name == "" {
					return errNoRow
				}
				r, err = pushed, nil
			}
			if err != nil {
				return err
			}
			return f(tx, r)
		})
	}
	err := try()
	if !errors.Is(err, errNoRow) {
		return err
	}
	if pushed, err = e.pushed(name); errors.Is(err, image.ErrNotFound) {
		return missing
	} else if err != nil {
		return err
	}
	return try()
}

// pushed describes a repository that was pushed to but not created.
func (e *ECR) pushed(name string) (slipway.Repository, error) {
	list, err := e.cfg.Images.Contents(name)
	if err == nil && len(list) == 0 {
		err = image.ErrNotFound
	}
	if err != nil {
		return slipway.Repository{}, err
	}
	first := slices.MinFunc(list, func(a, b image.Content) int { return a.PushedAt.Compare(b.PushedAt) })
	return slipway.Repository{Name: name, CreatedAt: first.PushedAt}, nil
}

// change edits the settings of the repository of a call.
func (e *ECR) change(ctx context.Context, call *gateway.Call, ref repositoryRef, edit func(*slipway.Repository) error) (r slipway.Repository, err error) {
	err = e.withRepository(ctx, ref, call.Update, func(tx *store.Tx, have slipway.Repository) error {
		r = have
		if err := edit(&r); err != nil {
			return err
		}
		return tx.PutRepository(r)
	})
	return r, err
}

// read returns the repository of a call.
func (e *ECR) read(ctx context.Context, ref repositoryRef) (r slipway.Repository, err error) {
	err = e.withRepository(ctx, ref, e.cfg.Store.View, func(_ *store.Tx, have slipway.Repository) error { r = have; return nil })
	return r, err
}

func checkName(name string) error {
	if len(name) < 2 || image.CheckRepository(name) != nil {
		return invalid("repositoryName", "must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*' and have 2 to 256 characters")
	}
	return nil
}

type createRepositoryInput struct {
	repositoryRef
	Tags       []tag       `json:"tags"`
	Mutability *string     `json:"imageTagMutability"`
	Exclusions []exclusion `json:"imageTagMutabilityExclusionFilters"`
	Scanning   *scanning   `json:"imageScanningConfiguration"`
	Encryption *encryption `json:"encryptionConfiguration"`
}

// createRepositoryPermissions are the permissions required by CreateRepository.
func (e *ECR) createRepositoryPermissions(_ *store.Tx, in *createRepositoryInput) ([]gateway.Permission, error) {
	n := gateway.Permission{Resource: e.ARN(in.name()), Context: conditions(in)}
	return n.WithTagging("ecr:TagResource", len(in.Tags) > 0), nil
}

type repositoryOutput struct {
	Repository repository `json:"repository"`
}

// createRepository creates a repository. If it was pushed to before, its images
// stay and it gets the settings.
func (e *ECR) createRepository(ctx context.Context, call *gateway.Call, in *createRepositoryInput) (*repositoryOutput, error) {
	r := slipway.Repository{Name: aws.ToString(in.RepositoryName), CreatedAt: e.cfg.Now()}
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	if in.RegistryID != nil && *in.RegistryID != e.cfg.Account {
		return nil, invalid("registryId", "must be %s", e.cfg.Account)
	}
	if err := setMutability(&r, cmp.Or(aws.ToString(in.Mutability), tagsMutable), in.Exclusions); err != nil {
		return nil, err
	}
	if in.Scanning != nil {
		r.ScanOnPush = in.Scanning.OnPush
	}
	if c := in.Encryption; c != nil {
		if !slices.Contains([]string{"AES256", "KMS", "KMS_DSSE"}, c.Type) {
			return nil, invalid("encryptionConfiguration.encryptionType", "must be AES256, KMS or KMS_DSSE")
		}
		r.Encryption, r.KMSKey = c.Type, aws.ToString(c.KMSKey)
	}
	err := call.Update(ctx, func(tx *store.Tx) error {
		err := tx.InsertRepository(r)
		if errors.Is(err, store.ErrNameTaken) {
			return exception("RepositoryAlreadyExistsException", "The repository with name '%s' already exists in the registry with id '%s'", r.Name, e.cfg.Account)
		}
		if err != nil {
			return err
		}
		err = share.Take(tx, call.Caller, share.Repositories, e.ARN(r.Name), 0)
		if full, ok := errors.AsType[*share.FullError](err); ok {
			return exception("LimitExceededException", "%s", full.Error())
		}
		return errors.Join(err, setTags(tx, e.ARN(r.Name), in.Tags))
	})
	return &repositoryOutput{e.describe(r)}, err
}

// setMutability sets whether tags can be moved to another image.
func setMutability(r *slipway.Repository, mutability string, exclusions []exclusion) error {
	known := []string{tagsMutable, tagsImmutable, tagsMutableWithExclusion, tagsImmutableWithExclusion}
	if !slices.Contains(known, mutability) {
		return invalid("imageTagMutability", "must be one of %s", strings.Join(known, ", "))
	}
	if strings.HasSuffix(mutability, "_WITH_EXCLUSION") != (len(exclusions) > 0) || len(exclusions) > 5 {
		return invalid("imageTagMutabilityExclusionFilters", "must have 1 to 5 filters, only with %s and %s", known[2], known[3])
	}
	r.Mutability, r.Exclusions = mutability, nil
	for _, f := range exclusions {
		if f.Type != "WILDCARD" || f.Filter == "" || len(f.Filter) > 128 || strings.Count(f.Filter, "*") > 2 {
			return invalid("imageTagMutabilityExclusionFilters", "must be of type WILDCARD with a filter of 1 to 128 characters and at most 2 wildcards")
		}
		r.Exclusions = append(r.Exclusions, f.Filter)
	}
	return nil
}

type describeRepositoriesInput struct {
	RegistryID *string  `json:"registryId"`
	Names      []string `json:"repositoryNames"` // all when absent
	MaxResults *int32   `json:"maxResults"`
	NextToken  *string  `json:"nextToken"`
}

type describeRepositoriesOutput struct {
	Repositories []repository `json:"repositories"`
	NextToken    *string      `json:"nextToken"`
}

// describeRepositoriesPermissions are the permissions required by DescribeRepositories.
func (e *ECR) describeRepositoriesPermissions(_ *store.Tx, in *describeRepositoriesInput) ([]gateway.Permission, error) {
	if len(in.Names) == 0 {
		return []gateway.Permission{{Resource: e.ARN("*")}}, nil
	}
	var required []gateway.Permission
	for _, name := range in.Names {
		required = append(required, gateway.Permission{Resource: e.ARN(name)})
	}
	return required, nil
}

func (e *ECR) describeRepositories(ctx context.Context, call *gateway.Call, in *describeRepositoriesInput) (*describeRepositoriesOutput, error) {
	out := &describeRepositoriesOutput{Repositories: []repository{}}
	if len(in.Names) > 0 {
		if in.MaxResults != nil || in.NextToken != nil || len(in.Names) > 100 {
			return nil, invalid("repositoryNames", "must have at most 100 names, without maxResults and nextToken")
		}
		for _, name := range in.Names {
			r, err := e.read(ctx, repositoryRef{in.RegistryID, &name})
			if err != nil {
				return nil, err
			}
			out.Repositories = append(out.Repositories, e.describe(r))
		}
		return out, nil
	}
	p, key, err := pager(in.MaxResults, in.NextToken, 1, "DescribeRepositories")
	if err != nil {
		return nil, err
	}
	created, names, err := e.repositories(ctx)
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearch(names, key[0])
	if found {
		i++
	}
	err = e.cfg.Store.View(ctx, func(tx *store.Tx) (err error) {
		names, err = gateway.Shown(tx, call, names[i:], e.ARN)
		return err
	})
	if err != nil {
		return nil, err
	}
	names, out.NextToken = page.Cut(p, names, func(name string) []string { return []string{name} })
	for _, name := range names {
		r, ok := created[name]
		if !ok {
			if r, err = e.pushed(name); errors.Is(err, image.ErrNotFound) {
				continue // deleted during the call
			} else if err != nil {
				return nil, err
			}
		}
		out.Repositories = append(out.Repositories, e.describe(r))
	}
	return out, nil
}

// repositories returns the created repositories by name, and the sorted names of
// all repositories, including those that were only pushed to.
func (e *ECR) repositories(ctx context.Context) (created map[string]slipway.Repository, names []string, err error) {
	var list []slipway.Repository
	err = e.cfg.Store.View(ctx, func(tx *store.Tx) error { list, err = tx.Repositories(); return err })
	if err != nil {
		return nil, nil, err
	}
	if names, err = e.cfg.Images.Repositories(); err != nil {
		return nil, nil, err
	}
	created = make(map[string]slipway.Repository, len(list))
	for _, r := range list {
		created[r.Name] = r
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return created, slices.Compact(names), nil
}

// pager returns the pager of a list, with 100 entries a page by default, and the
// key to begin after.
func pager(maxResults *int32, next *string, parts int, operation string, parameters ...string) (page.Pager, []string, error) {
	n := int32(100)
	if maxResults != nil {
		n = *maxResults
	}
	if n < 1 || n > 1000 {
		return page.Pager{}, nil, invalid("maxResults", "must be from 1 to 1000")
	}
	p := page.New(&n, operation, parameters...)
	key, err := p.After(next, parts)
	if err != nil {
		return p, nil, invalid("nextToken", "must be one that this operation returned for the same parameters")
	}
	return p, key, nil
}

type deleteRepositoryInput struct {
	repositoryRef
	Force bool `json:"force"` // with its images
}

func (e *ECR) deleteRepository(ctx context.Context, call *gateway.Call, in *deleteRepositoryInput) (*repositoryOutput, error) {
	r, err := e.read(ctx, in.repositoryRef)
	if err != nil {
		return nil, err
	}
	list, err := e.cfg.Images.Contents(r.Name)
	if err != nil && !errors.Is(err, image.ErrNotFound) {
		return nil, err
	}
	if len(list) > 0 && !in.Force {
		return nil, exception("RepositoryNotEmptyException", "The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", r.Name, e.cfg.Account)
	}
	// Images first: a crash then leaves a repository with fewer images.
	if err := e.cfg.Images.DeleteRepository(r.Name); err != nil {
		return nil, err
	}
	err = call.Update(ctx, func(tx *store.Tx) error {
		return tx.DeleteRepository(r.Name, e.ARN(r.Name))
	})
	return &repositoryOutput{e.describe(r)}, err
}

type putImageTagMutabilityInput struct {
	repositoryRef
	Mutability *string     `json:"imageTagMutability"`
	Exclusions []exclusion `json:"imageTagMutabilityExclusionFilters"`
}

type putImageTagMutabilityOutput struct {
	RegistryID string      `json:"registryId"`
	Name       string      `json:"repositoryName"`
	Mutability string      `json:"imageTagMutability"`
	Exclusions []exclusion `json:"imageTagMutabilityExclusionFilters"`
}

func (e *ECR) putImageTagMutability(ctx context.Context, call *gateway.Call, in *putImageTagMutabilityInput) (*putImageTagMutabilityOutput, error) {
	r, err := e.change(ctx, call, in.repositoryRef, func(r *slipway.Repository) error {
		return setMutability(r, aws.ToString(in.Mutability), in.Exclusions)
	})
	v := e.describe(r)
	return &putImageTagMutabilityOutput{v.RegistryID, v.Name, v.Mutability, v.Exclusions}, err
}

type putImageScanningConfigurationInput struct {
	repositoryRef
	Scanning *scanning `json:"imageScanningConfiguration"`
}

type putImageScanningConfigurationOutput struct {
	RegistryID string   `json:"registryId"`
	Name       string   `json:"repositoryName"`
	Scanning   scanning `json:"imageScanningConfiguration"`
}

// putImageScanningConfiguration stores the setting; images are not scanned.
func (e *ECR) putImageScanningConfiguration(ctx context.Context, call *gateway.Call, in *putImageScanningConfigurationInput) (*putImageScanningConfigurationOutput, error) {
	if in.Scanning == nil {
		return nil, invalid("imageScanningConfiguration", "must not be null")
	}
	r, err := e.change(ctx, call, in.repositoryRef, func(r *slipway.Repository) error {
		r.ScanOnPush = in.Scanning.OnPush
		return nil
	})
	return &putImageScanningConfigurationOutput{e.cfg.Account, r.Name, scanning{r.ScanOnPush}}, err
}
