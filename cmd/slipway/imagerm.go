package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newImageRmCommand(m *Main) *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:   "rm IMAGE...",
		Short: "Remove images from the registry",
		Long: `Rm removes images from the server's registry: NAME or NAME:TAG removes that tag, and
the image with its last tag; NAME@sha256:... removes the image with all its tags. An
image that a service is deployed from is not removed; the service is named. The disk
space is freed within the hour.` + confirmNote,
		Example:           "  slipway image rm shop:1.0\n  slipway image rm shop:1.0 shop:1.1 --yes",
		Args:              atLeastOne("the name of an image"),
		ValidArgsFunction: m.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.confirm(cmd, yes, "Remove %s from the registry?", strings.Join(args, ", ")); err != nil {
				return err
			}
			return m.removeImages(cmd.Context(), args)
		},
	}
	addYesFlag(cmd, &yes)
	return cmd
}

// atLeastOne checks that a verb has arguments.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError(cmd, "%s needs %s", verb(cmd), what)
		}
		return nil
	}
}

// removedImage is an image or tag in `image rm --json` and `image prune --json`.
type removedImage struct {
	Repository string
	Tag        string `json:",omitempty"`
	Digest     string
	Size       int64 `json:",omitempty"`
}

func (m *Main) removeImages(ctx context.Context, names []string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	stored, err := c.StoredImages(ctx)
	if err != nil {
		return err
	}
	uses, err := c.ImageUses(ctx, deployedImage)
	if err != nil {
		return err
	}
	removed := []removedImage{}
	byRepository := map[string][]client.ImageID{}
	for _, name := range names { // all are checked before one is removed
		repository, id := client.ParseStoredImage(name)
		image := findStored(stored, repository, id)
		if image == nil {
			return unknownImage(name, stored)
		}
		if users := usersOf(*image, id, uses); len(users) > 0 {
			return &client.Problem{
				Text: fmt.Sprintf("%s is in use: %s deployed from it", name, servicesAre(users)),
				Hint: fmt.Sprintf("`slipway up` with another image, or `slipway rm %s`, frees it.", users[0]),
			}
		}
		byRepository[repository] = append(byRepository[repository], id)
		removed = append(removed, removedImage{Repository: repository, Tag: id.Tag, Digest: image.Digest})
	}
	for repository, ids := range byRepository {
		if _, err := c.DeleteImages(ctx, repository, ids); err != nil {
			return err
		}
	}
	if m.json {
		return m.printJSON(struct{ Removed []removedImage }{removed})
	}
	for _, name := range names {
		m.progress().Say(term.Plain, "Removed %s", name)
	}
	return nil
}

// deployedImage returns the image that a service is deployed from, "" for code.
func deployedImage(s *types.Service) string {
	if s.SourceConfiguration == nil || s.SourceConfiguration.ImageRepository == nil {
		return ""
	}
	return aws.ToString(s.SourceConfiguration.ImageRepository.ImageIdentifier)
}

// findStored returns the image that a tag or a digest of a repository names, nil if
// there is none.
func findStored(stored []client.StoredImage, repository string, id client.ImageID) *client.StoredImage {
	i := slices.IndexFunc(stored, func(s client.StoredImage) bool {
		return s.Repository == repository && (id.Digest == s.Digest || id.Tag != "" && slices.Contains(s.Tags, id.Tag))
	})
	if i < 0 {
		return nil
	}
	return &stored[i]
}

func unknownImage(name string, stored []client.StoredImage) error {
	var names []string
	for _, s := range stored {
		for _, tag := range s.Tags {
			names = append(names, s.Repository+":"+tag)
		}
	}
	p := &client.Problem{Text: fmt.Sprintf("the registry has no image %s", name), Hint: "`slipway image ls` lists those that exist.", Code: "ImageNotFoundException"}
	if near := client.Nearest(name, names); len(near) > 0 {
		p.Hint = "Did you mean " + orList(near) + "?"
	}
	return p
}

// usersOf returns the services that could not be deployed again without an image, or
// without the tag of it that id names.
func usersOf(image client.StoredImage, id client.ImageID, uses []client.ImageUse) []string {
	var users []string
	for _, u := range uses {
		if u.Repository != image.Repository {
			continue
		}
		byTag := u.Tag != "" && slices.Contains(image.Tags, u.Tag)
		last := id.Tag == "" || len(image.Tags) <= 1 // the image goes, not only a name of it
		if byTag && (id.Tag == "" || id.Tag == u.Tag) || u.Digest == image.Digest && last {
			users = append(users, u.Service)
		}
	}
	return users
}

func servicesAre(names []string) string {
	if len(names) == 1 {
		return "service " + names[0] + " is"
	}
	return "services " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}

func newImagePruneCommand(m *Main) *cobra.Command {
	all, yes := false, false
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove images that no service uses",
		Long: `Prune removes the images of the server's registry that have no tag, and with --all also
those with one, unless a service is deployed from them. Platforms of an image stay with
it. It lists what it removes. The disk space is freed within the hour; releases keep
what they need to start instances.` + confirmNote,
		Example: "  slipway image prune\n  slipway image prune --all --yes",
		Args:    argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := m.mayAsk(cmd, yes); err != nil {
				return err
			}
			return m.pruneImages(cmd, all, yes)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also remove images with a tag")
	addYesFlag(cmd, &yes)
	return cmd
}

func (m *Main) pruneImages(cmd *cobra.Command, all, yes bool) error {
	ctx := cmd.Context()
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	stored, err := c.StoredImages(ctx)
	if err != nil {
		return err
	}
	uses, err := c.ImageUses(ctx, deployedImage)
	if err != nil {
		return err
	}
	goes, size := unused(stored, uses, all), int64(0)
	for _, i := range goes {
		size += i.Size
	}
	if len(goes) > 0 {
		if err := m.confirm(cmd, yes, "Remove %s (%s): %s?", counted(len(goes), "image"), term.Bytes(size), strings.Join(imageNames(goes), ", ")); err != nil {
			return err
		}
	}
	removed, err := deleteStored(ctx, c, goes)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ Removed []removedImage }{removed})
	}
	freed := int64(0)
	for _, r := range removed {
		freed += r.Size
		m.progress().Say(term.Plain, "Removed %s@%s", r.Repository, shortDigest(r.Digest))
	}
	_, err = fmt.Fprintf(m.Stdout, "Removed %s, %s.\n", counted(len(removed), "image"), term.Bytes(freed))
	return err
}

// unused returns the images that no service uses, and of those with tags only with all.
// Images of an index stay with it.
func unused(stored []client.StoredImage, uses []client.ImageUse, all bool) (list []client.StoredImage) {
	goes := map[string]bool{} // by repository@digest
	for _, s := range stored {
		goes[s.Repository+"@"+s.Digest] = (all || len(s.Tags) == 0) && len(usersOf(s, client.ImageID{Digest: s.Digest}, uses)) == 0
	}
	for _, s := range stored {
		stays := slices.ContainsFunc(s.Parents, func(digest string) bool { return !goes[s.Repository+"@"+digest] })
		if goes[s.Repository+"@"+s.Digest] && !stays {
			list = append(list, s)
		}
	}
	return list
}

func imageNames(list []client.StoredImage) (names []string) {
	for _, i := range list {
		if len(i.Tags) == 0 {
			names = append(names, i.Repository+"@"+shortDigest(i.Digest))
		}
		for _, t := range i.Tags {
			names = append(names, i.Repository+":"+t)
		}
	}
	return names
}

// deleteStored deletes images and returns those that are gone: what an index holds stays.
func deleteStored(ctx context.Context, c *client.Client, goes []client.StoredImage) ([]removedImage, error) {
	removed := []removedImage{}
	for len(goes) > 0 {
		repository := goes[0].Repository
		n := slices.IndexFunc(goes, func(i client.StoredImage) bool { return i.Repository != repository })
		if n < 0 {
			n = len(goes)
		}
		var ids []client.ImageID
		for _, i := range goes[:n] {
			ids = append(ids, client.ImageID{Digest: i.Digest})
		}
		deleted, err := c.DeleteImages(ctx, repository, ids)
		if err != nil {
			return removed, err
		}
		for _, i := range goes[:n] {
			if slices.ContainsFunc(deleted, func(id client.ImageID) bool { return id.Digest == i.Digest }) {
				removed = append(removed, removedImage{Repository: repository, Digest: i.Digest, Size: i.Size})
			}
		}
		goes = goes[n:]
	}
	return removed, nil
}
