package codec

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// MaxProxy is the most bytes a PROXY header may have: one of version 2 with 4 KiB of addresses and
// what else the balancer tells, of which a client's certificate is the most.
const MaxProxy = proxyHead + proxyRest

const (
	proxyHead = 16   // of version 2: signature, command, family, length
	proxyRest = 4096 // what the length may say
	proxyLine = 107  // a whole header of version 1
)

var (
	proxyV1 = []byte("PROXY ")
	proxyV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// Signed says how what has come of a connection stands to PROXY headers: whole says that one has
// begun, part that it may be one as soon as more has come. No message and no handshake of this
// contract begins like one.
func Signed(head []byte) (whole, part bool) {
	for _, signature := range [][]byte{proxyV1, proxyV2} {
		if bytes.HasPrefix(head, signature) {
			return true, false
		}
		part = part || bytes.HasPrefix(signature, head)
	}
	return false, part
}

// ProxyLength says whether the length of a frame over TCP is the beginning of a PROXY header.
func ProxyLength(length uint64) bool {
	return length == uint64(binary.BigEndian.Uint32(proxyV1)) ||
		length == uint64(binary.BigEndian.Uint32(proxyV2))
}

// ErrNoProxy says that what has come is no PROXY header.
var ErrNoProxy = errors.New("no PROXY header")

// ParseProxy reads a header of the PROXY protocol, version 1 or 2, with which a balancer says whom
// it speaks for. head holds everything that arrived so far. n == 0 and err == nil: more bytes are
// needed. n > 0: the header took n bytes. client is the zero value when it names nobody (LOCAL,
// UNKNOWN, a socket of the balancer's machine). Any goroutine.
func ParseProxy(head []byte) (client netip.AddrPort, n int, err error) {
	whole, part := Signed(head)
	switch {
	case part:
		return client, 0, nil
	case !whole:
		return client, 0, ErrNoProxy
	}
	local := false
	if head[0] == proxyV1[0] {
		n = 1 + bytes.IndexByte(head[:min(len(head), proxyLine)], '\n')
		if n == 0 && len(head) >= proxyLine {
			return client, 0, errors.New("the line is longer than 107 bytes")
		}
	} else if len(head) >= proxyHead {
		rest := int(binary.BigEndian.Uint16(head[proxyHead-2:]))
		if rest > proxyRest {
			return client, 0, errors.New("it is longer than 4096 bytes")
		}
		if n = proxyHead + rest; n > len(head) {
			n = 0
		}
		// HAProxy writes so for connections whose addresses are of neither family; the library
		// takes it for an error.
		const proxied, unspecified = 0x21, 0
		local = head[12] == proxied && head[13] == unspecified
	}
	if n == 0 || local {
		return client, n, nil
	}
	// The library reads from a stream, and here all of the header is there: it cannot wait.
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(head[:n]), n))
	if err != nil {
		return client, 0, err
	}
	if h.Command.IsProxy() {
		client = proxyClient(h.SourceAddr)
	}
	return client, n, nil
}

// proxyClient is the zero value for what is no address of the internet.
func proxyClient(a net.Addr) (client netip.AddrPort) {
	switch a := a.(type) {
	case *net.TCPAddr:
		client = a.AddrPort()
	case *net.UDPAddr:
		client = a.AddrPort()
	}
	return netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
}
