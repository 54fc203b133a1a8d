package proc

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// portsOf is the test binary as another process that picks ports, one a line, and ends when its
// input does.
const portsOf = "MB_TEST_PORTS"

// Nobody is given a port that another one was given who still lives, in whatever process.
func TestFreePortsDiffer(t *testing.T) {
	const each = 300 // of 20,000: picked at random some would be the same
	pick := func(print func(port int)) {
		for range each {
			port, err := FreePort()
			if err != nil {
				t.Fatal(err)
			}
			print(port)
		}
	}
	if os.Getenv(portsOf) != "" {
		pick(func(port int) { println(port) })
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it ends
		return
	}
	other := exec.Command(os.Args[0], "-test.run=^TestFreePortsDiffer$")
	other.Env = append(os.Environ(), portsOf+"=1")
	said, err := other.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for b := make([]byte, 4096); strings.Count(text.String(), "\n") < each; {
		n, err := said.Read(b)
		text.Write(b[:n])
		if err != nil {
			t.Fatalf("%v after %q", err, text.String())
		}
	}
	taken := make(map[string]bool)
	for _, port := range strings.Fields(text.String()) {
		taken[port] = true
	}
	if len(taken) != each {
		t.Errorf("the other process has %d ports for %d times", len(taken), each)
	}
	own := make(map[int]bool)
	pick(func(port int) { own[port] = true })
	if len(own) != each {
		t.Errorf("%d ports for %d times", len(own), each)
	}
	for port := range own {
		if taken[strconv.Itoa(port)] {
			t.Errorf("both have port %d", port)
		}
	}
	_ = stdin.Close()
	if err := other.Wait(); err != nil {
		t.Error(err)
	}
}

// Whoever is given a port may open it for UDP as well, at any address that a test uses.
func TestFreePortForUDP(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "127.0.1.11", "[::1]"} {
		c, err := net.ListenPacket("udp", host+":"+strconv.Itoa(port))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = c.Close()
	}
}
