package codec

import (
	"strings"
	"testing"
)

func TestNegotiateDeflate(t *testing.T) {
	const yes, no = deflateAnswer, ""
	const bits = yes + "; server_max_window_bits=15"
	for _, c := range []struct{ offers, want string }{
		{"", no},
		{"permessage-deflate", yes},
		{"x, permessage-deflate", yes},
		{"permessage-deflate-x", no},
		{"x-webkit-deflate-frame", no},
		// RFC 6455 §9.1: an extension's name is a token; as registered, not in another case.
		{"Permessage-Deflate", no},
		// §7.1.1.1, §7.1.1.2
		{"permessage-deflate; server_no_context_takeover", yes},
		{"permessage-deflate; client_no_context_takeover", yes},
		{"permessage-deflate;server_no_context_takeover;client_no_context_takeover", yes},
		{"permessage-deflate; server_no_context_takeover=1", no},
		{"permessage-deflate; client_no_context_takeover=true", no},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", no},
		// §7.1.2.1
		{"permessage-deflate; server_max_window_bits=15", bits},
		{"permessage-deflate; server_max_window_bits=\"15\"", bits},
		{"permessage-deflate; server_max_window_bits=\"1\\5\"", bits},
		{"permessage-deflate; server_max_window_bits=14", no},
		{"permessage-deflate; server_max_window_bits=8", no},
		{"permessage-deflate; server_max_window_bits=7", no},
		{"permessage-deflate; server_max_window_bits=16", no},
		{"permessage-deflate; server_max_window_bits=015", no},
		{"permessage-deflate; server_max_window_bits=+15", no},
		{"permessage-deflate; server_max_window_bits", no},
		{"permessage-deflate; server_max_window_bits=", no},
		{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", no},
		// §7.1.2.2
		{"permessage-deflate; client_max_window_bits", yes},
		{"permessage-deflate; client_max_window_bits=8", yes},
		{"permessage-deflate; client_max_window_bits=9", yes},
		{"permessage-deflate; client_max_window_bits=15", yes},
		{"permessage-deflate; client_max_window_bits=\"10\"", yes},
		{"permessage-deflate; client_max_window_bits=7", no},
		{"permessage-deflate; client_max_window_bits=16", no},
		{"permessage-deflate; client_max_window_bits=08", no},
		{"permessage-deflate; client_max_window_bits=1e1", no},
		{"permessage-deflate; client_max_window_bits=-9", no},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits=9", no},
		// §7.1: "not defined for use in an offer"
		{"permessage-deflate; unknown", no},
		{"permessage-deflate; unknown=1", no},
		{"permessage-deflate; Client_Max_Window_Bits", no},
		// §7.1.3: the first offer that can be accepted
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", yes},
		{"permessage-deflate; server_max_window_bits=10; client_max_window_bits," +
			"permessage-deflate; client_max_window_bits", yes},
		{"permessage-deflate; x, permessage-deflate; server_max_window_bits=15", bits},
		{"permessage-deflate, permessage-deflate; server_max_window_bits=15", yes},
		{"x; permessage-deflate, y", no},
		{"x=1, permessage-deflate", no}, // not an extension: the list ends
		{"x;y=\"a\", permessage-deflate", yes},
		{"x;y=\"permessage-deflate\"", no},
		{"x;y=\"a, permessage-deflate", no},
		{"x;y=\"a b\", permessage-deflate", no},
		{"x;y=\"\", permessage-deflate", no},
		// RFC 9110 §5.6.1, §5.6.3: empty elements, optional spaces
		{", ,permessage-deflate,", yes},
		{" permessage-deflate ;\tclient_max_window_bits = 10 ", yes},
		{"permessage-deflate x", no},
		{"permessage-deflate;", no},
		{"permessage-deflate;;", no},
		{"permessage-deflate, permessage-deflate;;", yes},
		{"permessage-deflate\x00", no},
		{";permessage-deflate", no},
		{"=permessage-deflate", no},
		{strings.Repeat(",", 5000) + "permessage-deflate", yes},
		{strings.Repeat("x,", 2000) + "permessage-deflate", yes},
		{"permessage-deflate" + strings.Repeat(";x", 2000), no},
	} {
		if got := negotiateDeflate(c.offers); got != c.want {
			t.Errorf("%.80q: %q, want %q", c.offers, got, c.want)
		}
	}
}

func TestAgreeDeflate(t *testing.T) {
	for offers, want := range map[string]string{
		"": "",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n": deflateAnswer,
		"Sec-WebSocket-Extensions: x\r\nSec-WebSocket-Extensions: permessage-deflate; " +
			"server_max_window_bits=15\r\n": deflateAnswer + "; server_max_window_bits=15",
		"Sec-WebSocket-Extensions: permessage-deflate; y\r\n": "",
	} {
		hs, _, err := ParseHandshake([]byte(goodHandshake + offers + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		before := string(hs.Response)
		if got := hs.AgreeDeflate(); got != (want != "") {
			t.Errorf("%q: %v", offers, got)
		}
		if want != "" {
			before = strings.TrimSuffix(before, "\r\n") +
				"Sec-WebSocket-Extensions: " + want + "\r\n\r\n"
		}
		if string(hs.Response) != before {
			t.Errorf("%q: %q", offers, hs.Response)
		}
	}
}
