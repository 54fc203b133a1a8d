// Package admin is the operators' HTTP listener: /metrics in the Prometheus format (prometheus.go),
// /livez, /readyz, a page at / that says what there is, and profiles when they are asked for
// (pages.go); and, where that is allowed, what operators do to a node (drain.go). It knows a node
// by its numbers, its readiness and that.
package admin
