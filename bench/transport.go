package bench

// withDeflate is WebSocket on which permessage-deflate (RFC 7692) is agreed.
const withDeflate = "ws-deflate"

// Transports lists those over which a target can be measured. Over TLS the servers of a run show a
// certificate that is made for it.
func Transports() []string { return []string{"tcp", "ws", "tls", "wss", withDeflate} }

// plainOf is what runs inside of a transport with TLS or compression, and any other transport
// itself.
func plainOf(transport string) string {
	switch transport {
	case "tls":
		return "tcp"
	case "wss", withDeflate:
		return "ws"
	}
	return transport
}

func overTLS(transport string) bool { return transport == "tls" || transport == "wss" }
