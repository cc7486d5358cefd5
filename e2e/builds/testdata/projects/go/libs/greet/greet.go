// Package greet is what the services of the monorepo share.
package greet

// Words are what a service says.
const Words = "version one"
