// Package logging is the node's log/slog handler: it never blocks its caller. Records go through a
// bounded queue to one goroutine, which alone formats and writes them, so lines are never
// interleaved and a stalled output costs lines, not latency. What the queue cannot take is counted
// and told in a later line, and so is what the output could not be made to take (output.go). The
// output may be a file that is opened anew when it was renamed (file.go). A tap sees the same
// records for system.log (protocol §8), through a queue and a goroutine of its own: what its
// readers ask for costs the output neither lines nor time.
package logging
