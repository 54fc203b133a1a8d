package blackbox

import "testing"

// system.auth without a token is refused, but the topic is known.
func TestS8_AuthNeedsToken(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, payload := range []string{`{}`, `{"token":7}`, `{"token":""}`} {
			e := c.call("system.auth", payload).fault(t)
			if e.Code != "INVALID_REQUEST" && e.Code != "UNAUTHORIZED" {
				t.Errorf("%s: %+v", payload, e)
			}
		}
		c.none()
	})
}
