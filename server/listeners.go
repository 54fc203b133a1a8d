package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"mbserver/server/config"
	"mbserver/server/door"
)

// Transports are the names of all listeners, in the order in which they are told.
var Transports = []string{"ws", "wss", "tcp", "tls", "admin", "agent"}

// handable are the names of those that may be handed in: a balancer's agent is asked again.
var handable = Transports[:5]

// takeListeners makes listeners of the files that the node was given, and closes those. It refuses
// what does not fit the configuration: whoever connects there would wait for ever, or be let in
// where the configuration lets nobody in.
func (n *Node) takeListeners() (door.Handed, error) {
	handed := make(door.Handed)
	var faults []error
	for name, files := range n.files {
		for _, file := range files {
			l, err := listenerOf(file)
			if err == nil {
				handed[name] = append(handed[name], l)
				err = n.mayTake(name, l.Addr().(*net.TCPAddr))
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("the listener that was handed in as %q: %w",
					name, err))
			}
		}
	}
	if len(handed["admin"]) > 1 {
		faults = append(faults,
			errors.New(`two listeners were handed in as "admin", which has one`))
	}
	n.files = nil
	return handed, errors.Join(faults...)
}

// listenerOf makes a listener of a socket, and closes the file.
func listenerOf(file *os.File) (*net.TCPListener, error) {
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, errors.New("it is no socket that listens for streams")
	}
	bound, is := l.(*net.TCPListener)
	if !is {
		_ = l.Close()
		return nil, fmt.Errorf("it is at %s, which is no TCP address", l.Addr())
	}
	return bound, nil
}

// mayTake says why the node must not accept there. That another address is configured is only
// logged: the socket counts.
func (n *Node) mayTake(name string, at *net.TCPAddr) error {
	key, address := "ports."+name, n.cfg.Host
	var port int
	switch name {
	case "ws":
		port = n.cfg.Ports.WS
	case "tcp":
		port = n.cfg.Ports.TCP
	case "wss":
		port = n.cfg.Ports.WSS
	case "tls":
		port = n.cfg.Ports.TLS
	case "admin":
		var text string
		key = "admin.address"
		address, text, _ = net.SplitHostPort(n.cfg.Admin.Address) // it is valid, or off
		if port, _ = strconv.Atoi(text); port == 0 && text != "" {
			port = config.AnyPort
		}
	default:
		return fmt.Errorf("listeners are named %s (systemd: FileDescriptorName=)",
			strings.Join(handable, ", "))
	}
	plain := name == "ws" || name == "tcp"
	switch {
	case port == 0:
		return fmt.Errorf("%s turns that listener off", key)
	case !plain && name != "admin" && n.certificates == nil:
		return errors.New("it needs ssl.key and ssl.cert")
	case plain && !n.cfg.AllowUnsecure && !at.IP.IsLoopback():
		return fmt.Errorf("plaintext on %s, which is not loopback, needs allowUnsecure = true "+
			"(--allow-unsecure)", at)
	}
	if port > 0 && port != at.Port || !means(address, at.IP) {
		n.log.With("module", "node").Warn("a listener that was handed in is elsewhere than "+
			"configured, and counts: "+name, "transport", name, "address", at.String(),
			"configured", net.JoinHostPort(address, strconv.Itoa(max(port, 0))))
	}
	return nil
}

// means says whether an address is one that a host of the configuration may mean. A name other than
// localhost is not looked up.
func means(host string, at net.IP) bool {
	ip := net.ParseIP(host)
	switch {
	case host == "", ip != nil && ip.IsUnspecified():
		return at.IsUnspecified()
	case strings.EqualFold(host, "localhost"):
		return at.IsLoopback()
	}
	return ip == nil || ip.Equal(at)
}

// closeAll closes what nobody has taken.
func closeAll(handed door.Handed) {
	for _, listeners := range handed {
		for _, l := range listeners {
			_ = l.Close() // taken ones are closed already
		}
	}
}
