package client_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// A browser that trusts the certificate reaches a node over wss: what it sends comes back, with a
// payload as long as they come.
func TestSecurePage(t *testing.T) {
	n := newSecureNode(t, "wss")
	n.start()
	p := serve(t, fmt.Sprintf(`
const large = JSON.stringify("é".repeat(8000));
const ws = new WebSocket("wss://localhost:%d");
ws.onerror = () => console.log("refused");
ws.onmessage = ({ data }) => {
  const [head, payload] = data.split("\n");
  if (head.startsWith("publish:system.initialize:")) {
    ws.send('request:system.topic.subscribe:1.0.0:' + crypto.randomUUID() +
      '\n{"action":"publish","topic":"page.echo"}');
  } else if (head.startsWith("response:system.topic.subscribe:")) {
    ws.send('publish:page.echo:1.0.0\n' + large);
  } else if (head.startsWith("publish:page.echo:")) {
    console.log(payload === large);
  }
};`, n.ports["wss"]))
	p.open(t, "localhost", "--ignore-certificate-errors-spki-list="+n.key)
	for _, want := range []string{"secure: true", "true"} {
		if got := p.next(t); got != want {
			t.Fatalf("it prints %q, want %q", got, want)
		}
	}
}

// A page from elsewhere, and one whose host name has come to mean this machine, do not reach a
// node, over ws or wss, until the node is told that they may.
func TestPageFromElsewhere(t *testing.T) {
	refusing, allowing := newSecureNode(t, "ws", "wss"), newSecureNode(t, "ws", "wss")
	allowing.key += "," + refusing.key
	refusing.start()
	var tries []string
	for _, n := range []secureNode{refusing, allowing} {
		for _, host := range []string{"localhost", elsewhere} {
			for _, transport := range []string{"ws", "wss"} {
				tries = append(tries,
					fmt.Sprintf(`"%s://%s:%d"`, transport, host, n.ports[transport]))
			}
		}
	}
	p := serve(t, `
for (const address of [`+strings.Join(tries, ", ")+`]) {
  console.log(await new Promise((told) => {
    const ws = new WebSocket(address);
    ws.onmessage = () => told("welcome");
    ws.onerror = () => told("refused");
  }));
}`)
	_, port, _ := strings.Cut(strings.TrimPrefix(p.server.URL, "http://"), ":")
	allowing.start("ws.hosts="+elsewhere, "ws.origins=http://"+elsewhere+":"+port)
	p.open(t, elsewhere, "--ignore-certificate-errors-spki-list="+allowing.key)
	if line := p.next(t); line != "secure: false" {
		t.Fatalf("it prints %q", line)
	}
	for i, address := range tries {
		want := "refused"
		if i >= len(tries)/2 {
			want = "welcome"
		}
		if got := p.next(t); got != want {
			t.Errorf("from %s, %s: %s, want %s", elsewhere, address, got, want)
		}
	}
	refusing.end(syscall.SIGTERM)
	for _, key := range []string{"ws.origins", "ws.hosts"} {
		if !strings.Contains(refusing.out.String(), key) {
			t.Errorf("the log does not name %s: %s", key, refusing.out)
		}
	}
}

// elsewhere is a host whose pages have no business here.
const elsewhere = "evil.example"
