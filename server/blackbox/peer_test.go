package blackbox

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// frame is one message as a transport delivered it.
type frame struct {
	data []byte
	text bool // WebSocket: a text frame; always false on TCP
}

// peer is one connection to the node. Send and Recv may run at the same time, but each only once.
type peer interface {
	// Send sends header and payload as one message.
	Send(message []byte) error
	// Recv waits for the next message until the deadline. A peer whose Recv failed is spent.
	Recv(deadline time.Time) (frame, error)
	// Close ends the connection in the transport's orderly way.
	Close() error
}

const (
	overTCP = "tcp"
	overWS  = "ws"
	overTLS = "tls"
	overWSS = "wss"
)

// transports are what every contract test runs over. The first two are not secure.
var transports = []string{overTCP, overWS, overTLS, overWSS}

// pairs are the pairs of transports that tests of two clients run over: each of those that are not
// secure with each, and each secure one both ways.
var pairs = [][2]string{
	{overTCP, overTCP}, {overTCP, overWS}, {overWS, overTCP}, {overWS, overWS},
	{overTLS, overWSS}, {overWSS, overTLS}, {overTCP, overTLS}, {overWSS, overWS},
}

// connect opens a connection without reading from it.
func (n *node) connect(transport string) (peer, error) {
	switch transport {
	case overTCP:
		return dialTCP(n.tcp)
	case overTLS:
		return dialTLS(n.tls, ours.trust())
	case overWSS:
		return n.connectWS("wss://"+n.wss+"/", &websocket.DialOptions{HTTPClient: ours.client()})
	}
	return n.connectWS("ws://"+n.ws+"/", &websocket.DialOptions{})
}

func (n *node) connectWS(url string, options *websocket.DialOptions) (peer, error) {
	if n.deflates {
		options.CompressionMode = websocket.CompressionNoContextTakeover
		options.CompressionThreshold = 1
	}
	p, resp, err := dialWS(url, options)
	if err != nil {
		return nil, err
	}
	if agreed := resp.Header.Get("Sec-WebSocket-Extensions") != ""; agreed != n.deflates {
		return nil, fmt.Errorf("compression is agreed: %v, want %v", agreed, n.deflates)
	}
	return p, nil
}

func dialTLS(address string, cfg *tls.Config) (*tcpPeer, error) {
	dialer := &net.Dialer{Timeout: patience}
	conn, err := tls.DialWithDialer(dialer, "tcp", address, cfg)
	if err != nil {
		return nil, err
	}
	return newTCPPeer(conn), nil
}

// tcpPeer frames by hand: 4 bytes of length, then the message (protocol §1).
type tcpPeer struct {
	conn net.Conn
	in   *bufio.Reader
}

func dialTCP(address string) (*tcpPeer, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return newTCPPeer(conn), nil
}

func newTCPPeer(conn net.Conn) *tcpPeer {
	return &tcpPeer{conn: conn, in: bufio.NewReaderSize(conn, 32<<10)}
}

// appendFrame appends one TCP frame to dst.
func appendFrame(dst, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(message))), message...)
}

func (p *tcpPeer) Send(message []byte) error {
	return p.write(appendFrame(make([]byte, 0, 4+len(message)), message))
}

// write sends bytes as they are.
func (p *tcpPeer) write(b []byte) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := p.conn.Write(b)
	return err
}

func (p *tcpPeer) Recv(deadline time.Time) (frame, error) {
	if err := p.conn.SetReadDeadline(deadline); err != nil {
		return frame{}, err
	}
	var head [4]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return frame{}, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > 1<<22 {
		return frame{}, fmt.Errorf("the node sent a frame of %d bytes", size)
	}
	data := make([]byte, size)
	_, err := io.ReadFull(p.in, data)
	return frame{data: data}, err
}

func (p *tcpPeer) Close() error { return p.conn.Close() }

// wsPeer speaks through github.com/coder/websocket.
type wsPeer struct {
	conn *websocket.Conn
}

// dialWS returns the answer to the upgrade too, also when it is a refusal.
func dialWS(url string, options *websocket.DialOptions) (*wsPeer, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, url, options)
	if err != nil {
		return nil, resp, err
	}
	conn.SetReadLimit(1 << 22)
	return &wsPeer{conn: conn}, resp, nil
}

// Send uses a text frame when the bytes allow it.
func (p *wsPeer) Send(message []byte) error {
	if utf8.Valid(message) {
		return p.sendAs(websocket.MessageText, message)
	}
	return p.sendAs(websocket.MessageBinary, message)
}

func (p *wsPeer) sendAs(kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.conn.Write(ctx, kind, message)
}

func (p *wsPeer) Recv(deadline time.Time) (frame, error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	kind, data, err := p.conn.Read(ctx)
	return frame{data: data, text: kind == websocket.MessageText}, err
}

func (p *wsPeer) Close() error { return p.conn.Close(websocket.StatusNormalClosure, "") }
