// Package admin is the operators' HTTP listener: /metrics in the Prometheus format (prometheus.go),
// /livez, /readyz, a page at / that says what there is, and profiles when they are asked for
// (pages.go); lists of connections, services, topics, loops and settings (list.go, walk.go, and a
// file for each); what operators do to a node (drain.go); and the agent that tells balancers a
// weight (agent.go, weight.go). Who asks, and what they may see and do, is in access.go; answers
// are made in answer.go. It knows a node by interfaces of its own.
package admin
