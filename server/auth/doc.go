// Package auth decides who somebody is (protocol §10): a Verifier knows the tokens, the keys of
// signed tokens and the authority of client certificates, and makes a Grant of credentials that are
// good; a Lockout remembers the addresses from which wrong ones came.
//
// A Verifier is made of the configuration and never changes: a reload makes another, of which is
// asked which of the earlier grants still stand. Checking a signature takes up to a millisecond:
// nothing here is called on a loop.
//
// Reading order: verifier.go (credentials become a grant), token.go (tokens that the node knows),
// signed.go and key.go (tokens that somebody has signed), certificate.go, lockout.go.
package auth
