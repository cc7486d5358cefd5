//go:build race

package deploy_test

// stride selects every seventh crash point: the race detector makes them four
// times slower, and `make test` also runs this package without it, at every point.
const stride = 7

// hours says that tests which let hours of polling pass run too.
const hours = false
