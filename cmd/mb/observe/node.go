package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mbserver/client"
)

// Node is a node that is asked over a connection of its own. Any goroutine.
type Node struct {
	client  *client.Client
	timeout time.Duration
}

// Of returns the node at the other end of c. An answer may take timeout.
func Of(c *client.Client, timeout time.Duration) *Node { return &Node{c, timeout} }

// Ask makes one request to the node itself and decodes the answer.
func (n *Node) Ask(ctx context.Context, topic string, payload, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	raw, err := n.client.System(ctx, topic, payload)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("answer of the broker to %s: %w", topic, err)
	}
	return nil
}

// RoundTrip measures the time that a heartbeat and its answer take.
func (n *Node) RoundTrip(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	start := time.Now()
	err := n.client.Ping(ctx)
	return time.Since(start), err
}

// Figures are a node's metrics by their names in system.metrics. One that is not told is 0.
type Figures map[string]float64

// Names of figures that are used by more than one reader.
const (
	Uptime      = "process.uptime"
	CPU         = "process.cpu.percent"
	Memory      = "process.memory.bytes"
	MemoryShare = "process.memory.percent" // of the machine's
	Connected   = "connection.active"
	Outstanding = "router.request.outstanding"
	Queued      = "router.request.queued"
)

// Figures asks for the node's metrics.
func (n *Node) Figures(ctx context.Context) (Figures, error) {
	var answer struct{ Metrics Figures }
	err := n.Ask(ctx, "system.metrics", nil, &answer)
	return answer.Metrics, err
}

// ErrorRate is the number of errors that a service was answered with in the last whole second.
func (f Figures) ErrorRate(id string) float64 {
	return f["registry.service.{serviceid:"+id+"}.error.rate"]
}

// Uptime is how long the node's process has been running.
func (f Figures) Uptime() time.Duration {
	return time.Duration(f[Uptime] * float64(time.Second))
}
