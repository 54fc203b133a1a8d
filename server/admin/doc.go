// Package admin is the operators' HTTP listener: /metrics in the Prometheus format (prometheus.go),
// /livez and /readyz (admin.go). It knows a node by its numbers and its readiness only.
package admin
