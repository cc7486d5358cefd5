//go:build !race

package deploy_test

const stride = 1

const hours = true
