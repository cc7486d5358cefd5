package sandboxinit

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// identity is the user and the groups that the application runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// maxAccounts bounds /etc/passwd and /etc/group, in bytes.
const maxAccounts = 4 << 20

// findUser resolves an image's user setting: "", "user", "uid", "user:group",
// "uid:gid" or a mixture. Names are those of the image.
func findUser(setting string) (*identity, error) {
	passwd, err := readAccounts("/etc/passwd")
	if err != nil {
		return nil, err
	}
	group, err := readAccounts("/etc/group")
	if err != nil {
		return nil, err
	}
	return resolveUser(setting, passwd, group)
}

// readAccounts reads an account file. An image without one has no accounts.
func readAccounts(path string) (string, error) {
	b, err := readBounded(path, maxAccounts)
	if err == unix.ENOENT {
		return "", nil
	}
	return string(b), doing("read "+path+" of the image", err)
}

// userError says why the image does not have the user of a setting, for people.
type userError string

func (e userError) Error() string { return string(e) }

// resolveUser is findUser on the contents of the two files. It follows Docker: a
// number is an id even if a user has that name, a named group replaces all groups
// of the user, and a number without an entry is valid.
func resolveUser(setting, passwd, group string) (*identity, error) {
	userPart, groupPart, _ := strings.Cut(setting, ":")
	who := &identity{home: "/"}
	name, err := who.setUser(userPart, passwd)
	if err != nil {
		return nil, err
	}
	if groupPart != "" {
		if err := who.setGroup(groupPart, group); err != nil {
			return nil, err
		}
	} else if name != "" {
		who.addGroups(name, group)
	}
	return who, nil
}

// setUser finds the user and returns its name, "" if the image has no entry for
// the number.
func (who *identity) setUser(part, passwd string) (name string, err error) {
	uid, isNumber, err := number(part)
	if err != nil {
		return "", userError("user " + strconv.Quote(part) + ": " + err.Error())
	}
	if part == "" {
		isNumber = true // root
	}
	for f := range fields(passwd) {
		if len(f) < 3 {
			continue
		}
		f = append(f, "", "", "") // a line may end early
		entry, ok, err := number(f[2])
		if !ok || err != nil || (isNumber && entry != uid) || (!isNumber && f[0] != part) {
			continue
		}
		who.uid, who.home = entry, f[5]
		who.gid, _, _ = number(f[3])
		if who.home == "" {
			who.home = "/"
		}
		return f[0], nil
	}
	if !isNumber {
		return "", userError("user " + strconv.Quote(part) + " is not in the image's /etc/passwd")
	}
	who.uid = uid
	return "", nil
}

// setGroup sets the group, which replaces all others.
func (who *identity) setGroup(part, group string) error {
	gid, isNumber, err := number(part)
	if err != nil {
		return userError("group " + strconv.Quote(part) + ": " + err.Error())
	}
	if isNumber {
		who.gid = gid
		return nil
	}
	for f := range fields(group) {
		if len(f) < 3 || f[0] != part {
			continue
		}
		if gid, ok, err := number(f[2]); ok && err == nil {
			who.gid = gid
			return nil
		}
	}
	return userError("group " + strconv.Quote(part) + " is not in the image's /etc/group")
}

// addGroups adds the groups of which the user is a member.
func (who *identity) addGroups(name, group string) {
	for f := range fields(group) {
		if len(f) < 4 {
			continue
		}
		for member := range strings.SplitSeq(f[3], ",") {
			if gid, ok, err := number(f[2]); member == name && ok && err == nil {
				who.groups = append(who.groups, gid)
			}
		}
	}
}

// number parses an id. It reports whether s is a number; a number that is not an
// id is an error.
func number(s string) (id uint32, ok bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, true, userError("the number is too large, ids end at 2147483647")
	}
	return uint32(n), true, nil
}

// fields yields the lines of an account file, split at colons.
func fields(text string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(strings.Split(line, ":")) {
				return
			}
		}
	}
}
