//go:build race

package deploy_test

// stride thins the points of death: the race detector makes SQLite ten times
// slower, and `make test` also runs this package without it, at every point.
const stride = 7
