package iam

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/store"
)

func (i *IAM) users() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("CreateUser", i.createUser, i.createUserPermissions),
		gateway.Read("GetUser", i.getUser, onUser(i, func(in *iam.GetUserInput) *string { return in.UserName })),
		gateway.Read("ListUsers", i.listUsers, gateway.AnyResource),
		gateway.Mutate("UpdateUser", i.updateUser, i.updateUserPermissions),
		gateway.Mutate("DeleteUser", i.deleteUser, onUser(i, func(in *iam.DeleteUserInput) *string { return in.UserName })),
		gateway.Mutate("TagUser", i.tagUser, func(tx *store.Tx, in *iam.TagUserInput) ([]gateway.Permission, error) {
			return []gateway.Permission{{Resource: i.userARN(tx, in.UserName), Context: tagKeys(in.Tags)}}, nil
		}),
		gateway.Mutate("UntagUser", i.untagUser, func(tx *store.Tx, in *iam.UntagUserInput) ([]gateway.Permission, error) {
			return []gateway.Permission{{Resource: i.userARN(tx, in.UserName), Context: tags.Removed(in.TagKeys)}}, nil
		}),
		gateway.Read("ListUserTags", i.listUserTags, onUser(i, func(in *iam.ListUserTagsInput) *string { return in.UserName })),
	}
}

// onUser returns the permission required by an operation on a user, the caller if
// the input names none.
func onUser[I any](i *IAM, name func(*I) *string) gateway.Permissions[I] {
	return func(tx *store.Tx, in *I) ([]gateway.Permission, error) {
		return []gateway.Permission{{Resource: i.userARN(tx, name(in))}}, nil
	}
}

// userARN returns the ARN of a user with their path, if there is one.
func (i *IAM) userARN(tx *store.Tx, name *string) string {
	if aws.ToString(name) == "" {
		return gateway.Self
	}
	path := "/"
	if u, err := tx.User(*name); err == nil {
		path = u.Path
	}
	return gateway.UserARN(i.cfg.Account, path, *name)
}

func (i *IAM) createUserPermissions(_ *store.Tx, in *iam.CreateUserInput) ([]gateway.Permission, error) {
	path := aws.ToString(in.Path)
	if path == "" {
		path = "/"
	}
	return permissionsToCreate("iam:TagUser", gateway.UserARN(i.cfg.Account, path, aws.ToString(in.UserName)), in.Tags), nil
}

// user returns the user of a name.
func (i *IAM) user(tx *store.Tx, name string) (slipway.User, error) {
	u, err := tx.User(name)
	if errors.Is(err, store.ErrNotFound) {
		return u, noSuchEntity("The user with name %s cannot be found.", name)
	}
	return u, err
}

func (i *IAM) arnOf(u slipway.User) string { return gateway.UserARN(i.cfg.Account, u.Path, u.Name) }

func (i *IAM) view(u slipway.User, tags []slipway.Tag) *types.User {
	return &types.User{Arn: aws.String(i.arnOf(u)), UserId: &u.ID, UserName: &u.Name, Path: &u.Path, CreateDate: &u.CreatedAt, Tags: viewTags(tags)}
}

func (i *IAM) createUser(ctx context.Context, call *gateway.Call, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	name, err := validName("userName", in.UserName, maxUserName)
	if err != nil {
		return nil, err
	}
	path, err := validPath("path", in.Path)
	if err != nil {
		return nil, err
	}
	tags, err := validTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if in.PermissionsBoundary != nil {
		return nil, invalid("Permissions boundaries are not supported.")
	}
	if strings.EqualFold(name, gateway.Root) { // whose keys are found by this name
		return nil, exists("User with name %s already exists.", name)
	}
	u := slipway.User{Name: name, ID: newID("AIDA", 17), Path: path, CreatedAt: i.now()}
	err = call.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertUser(u); errors.Is(err, store.ErrNameTaken) {
			return exists("User with name %s already exists.", name)
		} else if err != nil {
			return err
		}
		return errors.Join(tx.SetTags(i.arnOf(u), tags), take(tx, call, share.Users, i.arnOf(u)))
	})
	return &iam.CreateUserOutput{User: i.view(u, tags)}, err
}

func (i *IAM) getUser(ctx context.Context, call *gateway.Call, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	var out iam.GetUserOutput
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		name := aws.ToString(in.UserName)
		if name == "" && call.Caller.User == gateway.Root {
			var err error
			out.User, err = i.rootUser(tx)
			return err
		}
		if name == "" {
			name = call.Caller.User
		}
		u, err := i.user(tx, name)
		if err != nil {
			return err
		}
		tags, err := tx.Tags(i.arnOf(u))
		out.User = i.view(u, tags)
		return err
	})
	return &out, err
}

// rootUser returns the root user as IAM shows it, created with its first key.
func (i *IAM) rootUser(tx *store.Tx) (*types.User, error) {
	u := &types.User{Arn: aws.String("arn:aws:iam::" + i.cfg.Account + ":root"), UserId: &i.cfg.Account, UserName: aws.String(gateway.Root), Path: aws.String("/")}
	keys, err := tx.AccessKeys(gateway.Root)
	if len(keys) > 0 {
		u.CreateDate = &keys[0].CreatedAt
	}
	return u, err
}

func (i *IAM) listUsers(ctx context.Context, call *gateway.Call, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	out := iam.ListUsersOutput{Users: []types.User{}}
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Users()
		if err != nil {
			return err
		}
		var list []slipway.User
		for _, u := range all {
			if strings.HasPrefix(u.Path, aws.ToString(in.PathPrefix)) {
				list = append(list, u)
			}
		}
		if list, err = gateway.Shown(tx, call, list, i.arnOf); err != nil {
			return err
		}
		list, out.Marker, err = paginate(list, in.Marker, in.MaxItems, func(u slipway.User) string { return u.Name })
		out.IsTruncated = out.Marker != nil
		for _, u := range list {
			out.Users = append(out.Users, *i.view(u, nil))
		}
		return err
	})
	return &out, err
}

// updateUserPermissions requires permission for the user before and after the
// update.
func (i *IAM) updateUserPermissions(tx *store.Tx, in *iam.UpdateUserInput) ([]gateway.Permission, error) {
	u, err := tx.User(aws.ToString(in.UserName))
	if errors.Is(err, store.ErrNotFound) {
		return []gateway.Permission{{Resource: i.userARN(tx, in.UserName)}}, nil
	}
	return []gateway.Permission{{Resource: i.arnOf(u)}, {Resource: i.arnOf(updated(u, in))}}, err
}

// updated returns a user after an update.
func updated(u slipway.User, in *iam.UpdateUserInput) slipway.User {
	u.Name = cmp.Or(aws.ToString(in.NewUserName), u.Name)
	u.Path = cmp.Or(aws.ToString(in.NewPath), u.Path)
	return u
}

// updateUser renames or moves a user. Keys, sessions and policies stay theirs.
func (i *IAM) updateUser(ctx context.Context, call *gateway.Call, in *iam.UpdateUserInput) (*iam.UpdateUserOutput, error) {
	if in.NewUserName != nil {
		name, err := validName("newUserName", in.NewUserName, maxUserName)
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(name, gateway.Root) {
			return nil, exists("User with name %s already exists.", name)
		}
	}
	if _, err := validPath("newPath", in.NewPath); err != nil {
		return nil, err
	}
	return &iam.UpdateUserOutput{}, i.withUser(ctx, in.UserName, call.Update, func(tx *store.Tx, u slipway.User) error {
		to := updated(u, in)
		err := tx.UpdateUser(u.Name, to, i.arnOf(u), i.arnOf(to))
		if errors.Is(err, store.ErrNameTaken) {
			return exists("User with name %s already exists.", to.Name)
		}
		return err
	})
}

func (i *IAM) deleteUser(ctx context.Context, call *gateway.Call, in *iam.DeleteUserInput) (*iam.DeleteUserOutput, error) {
	name, err := required("userName", in.UserName)
	if err != nil {
		return nil, err
	}
	return &iam.DeleteUserOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		u, err := i.user(tx, name)
		if err != nil {
			return err
		}
		keys, err := tx.AccessKeys(name)
		if err != nil {
			return err
		}
		attached, err := tx.AttachedPolicies(name)
		if err != nil {
			return err
		}
		inline, err := tx.InlinePolicies(name)
		if err != nil {
			return err
		}
		switch {
		case len(keys) > 0:
			return inUse("Cannot delete entity, must delete access keys first.")
		case len(attached) > 0:
			return inUse("Cannot delete entity, must detach all policies first.")
		case len(inline) > 0:
			return inUse("Cannot delete entity, must delete policies first.")
		}
		return tx.DeleteUser(name, i.arnOf(u))
	})
}

// withUser runs f in a transaction with the user that the input names.
func (i *IAM) withUser(ctx context.Context, name *string, run func(context.Context, func(*store.Tx) error) error, f func(*store.Tx, slipway.User) error) error {
	wanted, err := required("userName", name)
	if err != nil {
		return err
	}
	return run(ctx, func(tx *store.Tx) error {
		u, err := i.user(tx, wanted)
		if err != nil {
			return err
		}
		return f(tx, u)
	})
}

func (i *IAM) tagUser(ctx context.Context, call *gateway.Call, in *iam.TagUserInput) (*iam.TagUserOutput, error) {
	tags, err := validTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &iam.TagUserOutput{}, i.withUser(ctx, in.UserName, call.Update, func(tx *store.Tx, u slipway.User) error {
		return tagRules().Add(tx, i.arnOf(u), tags)
	})
}

func (i *IAM) untagUser(ctx context.Context, call *gateway.Call, in *iam.UntagUserInput) (*iam.UntagUserOutput, error) {
	return &iam.UntagUserOutput{}, i.withUser(ctx, in.UserName, call.Update, func(tx *store.Tx, u slipway.User) error {
		return tx.DeleteTags(i.arnOf(u), in.TagKeys)
	})
}

func (i *IAM) listUserTags(ctx context.Context, _ *gateway.Call, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	out := iam.ListUserTagsOutput{Tags: []types.Tag{}}
	err := i.withUser(ctx, in.UserName, i.cfg.Store.View, func(tx *store.Tx, u slipway.User) error {
		tags, err := tx.Tags(i.arnOf(u))
		out.Tags = append(out.Tags, viewTags(tags)...)
		return err
	})
	return &out, err
}
