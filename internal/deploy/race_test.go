//go:build race

package deploy_test

// stride selects every seventh crash point: the race detector makes SQLite ten
// times slower, and `make test` also runs this package without it, at every point.
const stride = 7
