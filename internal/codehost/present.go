package codehost

import "strings"

// userNames are the user names with which providers take a token as a password, by
// provider type.
//
//   - GitHub: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
//   - Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/using-access-tokens/
//   - GitLab: any name but an empty one; https://docs.gitlab.com/user/profile/personal_access_tokens/
//   - Gitea: any name
var userNames = map[string]string{
	"GITHUB":    "x-access-token",
	"BITBUCKET": "x-token-auth",
	"GITLAB":    "oauth2",
	"GITEA":     "git",
}

// Basic returns the user name and the password by which git presents a token to a
// provider. A token with a colon is a user name and a password already. An unknown
// provider, a plain git server, gets the name git.
func Basic(provider, token string) (user, password string) {
	if user, password, ok := strings.Cut(token, ":"); ok {
		return user, password
	}
	if user, ok := userNames[provider]; ok {
		return user, token
	}
	return "git", token
}
