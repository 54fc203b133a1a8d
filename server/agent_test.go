package server

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

func withAgent(cfg *config.Config) { cfg.Admin.Agent = "127.0.0.1:0" }

// agentLine is what a node tells a balancer.
func agentLine(t *testing.T, address string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, livePatience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(livePatience))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A node tells a balancer its weight, and that it takes nobody new while it drains.
func TestAgentOfANode(t *testing.T) {
	n := startLiveNode(t, withAgent)
	address := n.Addr("agent")
	if line := agentLine(t, address); line != "up 100%\n" {
		t.Errorf("an idle node says %q", line)
	}
	end := n.drainHeldUp()
	eventually(t, "it takes nobody new", func() bool {
		return agentLine(t, address) == "up 0%\n"
	})
	end()
	if c, err := net.Dial("tcp", address); err == nil {
		t.Error("a stopped node's agent is still there")
		_ = c.Close()
	}
}

// The agent is off unless it has an address, and one that is taken stops the start.
func TestAgentAddress(t *testing.T) {
	n := startLiveNode(t, nil)
	if a := n.Addr("agent"); a != "" {
		t.Errorf("it is off but has the address %s", a)
	}
	taken := n.Addr("tcp")
	second := newLiveNode(t, func(cfg *config.Config) { cfg.Admin.Agent = taken })
	err := second.Start()
	var bad *ListenError
	if !errors.As(err, &bad) || bad.Transport != "agent" || !strings.Contains(err.Error(), taken) {
		t.Errorf("Start: %v, want an error that names the agent and %s", err, taken)
	}
}

// A node is ready from the moment on in which its door opens, and not before.
func TestReadyWhenOpen(t *testing.T) {
	n := newLiveNode(t, nil)
	if ready, word := n.broker.Ready(); ready || word != "starting" {
		t.Errorf("before its start: %v %q", ready, word)
	}
	taken := startLiveNode(t, nil).Addr("tcp")
	failed := newLiveNode(t, func(cfg *config.Config) { cfg.Admin.Address = taken })
	if err := failed.Start(); err == nil {
		t.Fatal("it starts on an address that is taken")
	}
	if ready, _ := failed.broker.Ready(); ready {
		t.Error("a node that did not start is ready")
	}
	if err := failed.Start(); err == nil || !strings.Contains(err.Error(), "started before") {
		t.Errorf("a second start: %v", err)
	}
}

// admission.rate is taken over while the node runs.
func TestAdmissionRateIsLive(t *testing.T) {
	n := startLiveNode(t, nil)
	cfg := n.cfg
	cfg.Admission.Rate = 1
	reload := func() {
		t.Helper()
		if err := n.Reload(func() (config.Config, config.Origins, error) {
			return cfg, nil, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	reload()
	n.dial()
	refused := func() bool {
		c, err := net.DialTimeout("tcp", n.Addr("tcp"), livePatience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return n.broker.Arrivals.Rejected.Read(0).Total > 0
	}
	eventually(t, "one is refused", refused)
	cfg.Admission.Rate = 0
	reload()
	began := time.Now()
	for range 20 {
		n.dial()
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("without a rate 20 take %v", took)
	}
	if strings.Contains(n.out.String(), "take effect at the next start") {
		t.Error("the rate is said to take effect later")
	}
}
