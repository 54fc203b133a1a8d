package bench

// Transports lists those over which a target can be measured. Over TLS the servers of a run show a
// certificate that is made for it.
func Transports() []string { return []string{"tcp", "ws", "tls", "wss"} }

// plainOf is what runs inside of a transport with TLS, and any other transport itself.
func plainOf(transport string) string {
	switch transport {
	case "tls":
		return "tcp"
	case "wss":
		return "ws"
	}
	return transport
}

func overTLS(transport string) bool { return plainOf(transport) != transport }
