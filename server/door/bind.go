package door

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"mbserver/server/broker"
	"mbserver/server/config"
)

// ListenError is why a listener could not be bound.
type ListenError struct {
	Transport string // "ws", "wss", "tcp", "tls", "admin" or "agent"
	Host      string // as it was tried; "" is every address
	Port      int
	Err       error
}

// Error names the listener and the address.
func (e *ListenError) Error() string {
	return fmt.Sprintf("listening for %s on %s: %v",
		e.Transport, net.JoinHostPort(e.Host, strconv.Itoa(e.Port)), e.Err)
}

// Unwrap returns the system's error.
func (e *ListenError) Unwrap() error { return e.Err }

// listen binds one transport's port on every address that host means; port 0 turns it off,
// config.AnyPort takes any.
func (d *Door) listen(t broker.Transport, host string, port int) error {
	if port == 0 {
		return nil
	}
	failed := func(host string, err error) error {
		return &ListenError{t.String(), host, max(port, 0), err}
	}
	return bindAll(host, port, func(host string, port int) (int, error) {
		address := net.JoinHostPort(host, strconv.Itoa(port))
		bound, err := listenConfig.Listen(context.Background(), "tcp", address)
		if err != nil {
			return 0, failed(host, err)
		}
		l, err := d.newListener(bound.(*net.TCPListener), t)
		if err != nil {
			return 0, failed(host, err)
		}
		d.listeners = append(d.listeners, l)
		return l.address.Port, nil
	})
}

// take makes a transport's listeners of sockets that were handed in. They are closed.
func (d *Door) take(t broker.Transport, handed []*net.TCPListener) error {
	for _, bound := range handed {
		at := bound.Addr().(*net.TCPAddr)
		raw, err := bound.SyscallConn()
		if set := listenConfig.Control; err == nil && set != nil {
			err = set("tcp", at.String(), raw)
		}
		var l *listener
		if err == nil {
			l, err = d.newListener(bound, t)
		}
		if err != nil {
			return &ListenError{t.String(), at.IP.String(), at.Port, err}
		}
		d.listeners = append(d.listeners, l)
	}
	return nil
}

// bindAll has every address bound that host means, all to one port. bind returns the port. Of
// localhost, which is every loopback address (protocol §9), that of either family may be missing.
func bindAll(host string, port int, bind func(host string, port int) (int, error)) error {
	anyPort := port == config.AnyPort
	port = max(port, 0)
	if !strings.EqualFold(host, "localhost") {
		_, err := bind(host, port)
		return err
	}
	v4, err := bind("127.0.0.1", port)
	if err != nil && !Missing(err) {
		return err
	}
	if err == nil {
		port = v4
	}
	_, err6 := bind("::1", port)
	if err == nil && (Missing(err6) || anyPort) {
		return nil
	}
	if err != nil && Missing(err6) {
		return err // there is neither
	}
	return err6
}

// Missing says whether a listener could not be bound because this machine has no such address.
func Missing(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
