// Package pushhook receives the webhooks by which providers of source code tell of
// pushes: GitHub, GitLab, Bitbucket (Cloud and Data Center), Gitea and Forgejo.
//
// A delivery only wakes the services that follow the repository and the branch: which
// commit there is to deploy is asked of the repository, with the connection's own
// credential. So a delivery that is forged or replayed after all costs a question and
// deploys nothing that was not pushed.
//
// Every sender is a stranger until its signature was verified. The address of a
// webhook holds a random id; an unknown id and a wrong signature have the same answer,
// and no answer says which services or repositories there are. Bodies are bounded,
// deliveries are limited in number, and an accepted one is refused when it comes again.
//
// Package hooks is the other direction: it delivers events of services. The API has the
// operations that make and remove these webhooks (package api).
package pushhook
