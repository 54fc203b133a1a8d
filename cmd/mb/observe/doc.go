// Package observe asks a node about itself. node.go asks over the wire (protocol §8), export.go the
// admin listener for what only that tells; sample.go is all of it at one moment, and what happened
// between two of them.
package observe
