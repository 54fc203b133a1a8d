package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

// socket listens on an address of its own, "network address", and hands it over as a service
// manager does: as a file.
func socket(t *testing.T, where string) *os.File {
	t.Helper()
	network, address, _ := strings.Cut(where, " ")
	var bound any
	var err error
	if strings.HasPrefix(network, "udp") {
		bound, err = net.ListenPacket(network, address)
	} else {
		bound, err = net.Listen(network, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	if l, is := bound.(*net.UnixListener); is {
		l.SetUnlinkOnClose(false)
	}
	file, err := bound.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := bound.(interface{ Close() error }).Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() }) // the node has closed it
	return file
}

// address is where a socket listens.
func address(t *testing.T, file *os.File) string {
	t.Helper()
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Sockets that were handed in are what the node listens on, where it does without that; and they
// outlive it: who comes then waits.
func TestHandedListeners(t *testing.T) {
	n := newLiveNode(t, func(cfg *config.Config) {
		cfg.Ports.TCP, cfg.Admin.Address = 3001, "127.0.0.1:0"
	})
	tcp, admin := socket(t, "tcp 127.0.0.1:0"), socket(t, "tcp 127.0.0.1:0")
	kept, err := net.FileListener(tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	atAdmin := address(t, admin)
	n.files = map[string][]*os.File{"tcp": {tcp}, "admin": {admin}}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if n.Addr("tcp") != kept.Addr().String() || n.Addr("admin") != atAdmin || n.Addr("ws") == "" {
		t.Errorf("tcp %s, admin %s, ws %q", n.Addr("tcp"), n.Addr("admin"), n.Addr("ws"))
	}
	if status, _, _ := adminCall(t, "GET", "http://"+atAdmin+"/readyz"); status != 200 {
		t.Errorf("/readyz is %d", status)
	}
	c := n.dial()
	c.settle()
	_ = c.conn.Close()
	for _, file := range []*os.File{tcp, admin} {
		if err := file.Close(); err == nil {
			t.Error("the node has not closed the file")
		}
	}
	const line = "a listener that was handed in is elsewhere than configured, and counts: "
	if out := n.out.String(); strings.Count(out, line) != 1 || !strings.Contains(out, line+"tcp") {
		t.Errorf("the log should say that tcp is elsewhere: %s", out)
	}
	if err := n.shutdown(livePatience); err != nil {
		t.Error(err)
	}
	late, err := net.Dial("tcp", kept.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	next, err := kept.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = next.Close()
}

// What does not fit the configuration is refused in words that say what to change, and nothing is
// left listening.
func TestHandedListenersThatDoNotFit(t *testing.T) {
	off := func(cfg *config.Config) { cfg.Ports.WS = 0 }
	secure := func(cfg *config.Config) { cfg.Ports.WSS, cfg.Ports.TLS = 8000, 8001 }
	unix := "unix " + filepath.Join(t.TempDir(), "s")
	for _, tt := range []struct {
		handed []string // name, where
		change func(*config.Config)
		want   string
	}{
		{[]string{"mb-server.socket", "tcp 127.0.0.1:0"}, nil,
			`as "mb-server.socket": listeners are named ws, wss, tcp, tls, admin`},
		{[]string{"ws", "tcp 127.0.0.1:0"}, off, `as "ws": ports.ws turns that listener off`},
		{[]string{"admin", "tcp 127.0.0.1:0"}, nil, "admin.address turns that listener off"},
		{[]string{"wss", "tcp 127.0.0.1:0"}, secure, `as "wss": it needs ssl.key and ssl.cert`},
		{[]string{"tls", "tcp 127.0.0.1:0"}, secure, `as "tls": it needs ssl.key and ssl.cert`},
		{[]string{"tcp", "tcp 0.0.0.0:0"}, nil, "which is not loopback, needs allowUnsecure"},
		{[]string{"ws", "tcp [::]:0"}, nil, "which is not loopback, needs allowUnsecure"},
		{[]string{"tcp", unix}, nil, "which is no TCP address"},
		{[]string{"tcp", "udp 127.0.0.1:0"}, nil, "it is no socket that listens for streams"},
		{[]string{"admin", "tcp 127.0.0.1:0", "admin", "tcp 127.0.0.1:0"},
			func(cfg *config.Config) { cfg.Admin.Address = "127.0.0.1:0" }, "which has one"},
	} {
		n := newLiveNode(t, tt.change)
		n.files = make(map[string][]*os.File)
		var all []*os.File
		for i := 0; i < len(tt.handed); i += 2 {
			file := socket(t, tt.handed[i+1])
			all = append(all, file)
			n.files[tt.handed[i]] = append(n.files[tt.handed[i]], file)
		}
		err := n.Start()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.handed, err, tt.want)
		}
		if err == nil {
			_ = n.Shutdown(context.Background())
		}
		for _, file := range all {
			if file.Close() == nil {
				t.Errorf("%q: the file is still open", tt.handed)
			}
		}
	}
}

// A socket that listens where the configuration says, in whatever words, is nothing to warn of.
func TestMeans(t *testing.T) {
	for _, tt := range []struct {
		host, at string
		want     bool
	}{
		{"", "0.0.0.0", true}, {"", "::", true}, {"", "127.0.0.1", false},
		{"0.0.0.0", "::", true}, {"::", "10.0.0.1", false},
		{"localhost", "127.0.0.1", true}, {"localhost", "::1", true}, {"LocalHost", "::", false},
		{"10.0.0.1", "10.0.0.1", true}, {"10.0.0.1", "10.0.0.2", false},
		{"mb.example", "10.0.0.1", true},
	} {
		if got := means(tt.host, net.ParseIP(tt.at)); got != tt.want {
			t.Errorf("%q, %s: %v", tt.host, tt.at, got)
		}
	}
}

// A loop that is in the middle of something does not turn, and is named; the others do.
func TestPulse(t *testing.T) {
	n := startLiveNode(t, nil)
	if err := n.Pulse(t.Context()); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	n.reactors.At(n.broker.Loops()[1]).Do(func() { <-release })
	eventually(t, "the second loop alone is named", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		err := n.Pulse(ctx)
		if err == nil {
			t.Fatal("no loop is named")
		}
		return err.Error() == "loops do not turn: [1]" // the first may take its time, too
	})
	close(release)
	if err := n.Pulse(t.Context()); err != nil {
		t.Error(err)
	}
	if err := n.shutdown(livePatience); err != nil {
		t.Fatal(err)
	}
	if err := n.Pulse(t.Context()); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
