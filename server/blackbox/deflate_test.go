package blackbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Permessage-deflate is negotiated when the client offers it.
func TestS1_Deflate(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	plain := n.dial(t, overTCP)
	for _, mode := range []websocket.CompressionMode{websocket.CompressionNoContextTakeover, websocket.CompressionContextTakeover} {
		p, resp, err := dialWS("ws://"+n.ws+"/", &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Sec-WebSocket-Extensions"); !strings.Contains(got, "permessage-deflate") {
			t.Errorf("offered permessage-deflate, the answer has %q", got)
		}
		c := adopt(t, p, overWS)
		c.subscribe("publish", "deflate.test")
		plain.subscribe("publish", "deflate.test")
		for i := range 20 {
			payload := strings.Repeat(fmt.Sprintf("compress me %d ", i), 500)
			c.send("publish:deflate.test:1.0.0", payload)
			c.expectPayload("publish:deflate.test:1.0.0:*", payload)
			plain.expectPayload("publish:deflate.test:1.0.0:*", payload)
		}
		if err := c.peer.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
}
