// Package metrics is what a node counts and how it is told: running totals of the loops
// (counts.go) and the times they measure (histogram.go), rates of what happens rarely (window.go),
// the numbers of one moment (sample.go), the tables of all metrics with their names in
// system.metrics and at /metrics and what they mean (table.go, families.go), the process and its
// machine (machine.go), and the JSON of system.metrics (json.go).
package metrics
