// Package slipway is the vocabulary of Slipway: services, releases, instances
// and operations, and the names and errors they go by.
//
// It holds values and pure rules between them. It does no I/O, declares no
// interfaces and starts nothing. Every other package may import it. It imports
// only UUIDs and the types of the AWS SDK's model, since it uses App Runner's
// configuration shapes (source, instance size, health check) as they are.
package slipway
