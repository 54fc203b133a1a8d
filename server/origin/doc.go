// Package origin says where a connection comes from: of which network its address is, which client
// a trusted balancer speaks for, which web page opened it, and by which name it calls the node
// (protocol §10). It is a leaf of pure functions: they allocate a little, wait for nothing, and may
// be called by any goroutine.
package origin
