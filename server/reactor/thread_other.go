//go:build !linux

package reactor

// threadID is not known here.
func threadID() int { return 0 }
