// Package slipway is the vocabulary of Slipway: services, releases, instances
// and operations, and the names and errors they go by.
//
// It holds values and the pure rules between them. It does no I/O, declares no
// interfaces and starts nothing. Every other package may import it; it imports
// only the AWS model's types, whose configuration shapes (source, instance
// size, health check) are this product's own words too.
package slipway
