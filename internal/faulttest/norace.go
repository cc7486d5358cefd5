//go:build !race

package faulttest

const share = 1
