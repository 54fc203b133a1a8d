// Package bench measures what a broker costs: its own CPU time per delivered message, its memory
// per connection, and the latency its subscribers see. It starts the server pinned to one core,
// pins itself to another and speaks the server's protocol with a load generator of its own: one
// epoll loop on raw descriptors that allocates nothing while it measures.
//
// Reading order: options.go and loops.go (what is measured), run.go (repetitions and their order),
// scenario.go (the list of scenarios), fan.go, request.go, latency.go, connect.go (the scenarios),
// loop.go and stream.go (the generator), session.go and handshake.go (TLS), wire.go and wire_*.go
// (one protocol each), process.go (the server), crossing.go (its loops), result.go (what is kept),
// table.go, plot.go, report.go, compare.go (how it is shown).
//
// The floor of every figure is the same socket work without a broker, package bench/raw, measured
// in the same run by the same generator. The method is described in docs/benchmarks.md.
package bench
