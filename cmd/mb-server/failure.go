package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	psnet "github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"

	"mbserver/server"
	"mbserver/server/config"
)

// fail says why the node does not run, and returns the exit code. Whoever sits before a terminal
// gets a sentence, in place of a log line if that would come to the same terminal.
func (d *daemon) fail(log *slog.Logger, what string, err error) int {
	why := explain(err)
	d.supervisor.say(log, status("%s: %s", what, why))
	reads := d.terminal(d.stderr)
	if reads {
		fmt.Fprintf(d.stderr, "mb-server: %s: %s\n", what, why)
	}
	if !reads || !d.terminal(d.stdout) {
		log.Error(what, "error", why)
	}
	return exitFailure
}

// explain says in a sentence why a node cannot start. Of a listener it names the key to change.
func explain(err error) string {
	var l *server.ListenError
	if !errors.As(err, &l) {
		return err.Error()
	}
	port, host := keyed("ports."+l.Transport), keyed("host")
	switch l.Transport {
	case "admin":
		port, host = keyed("admin.address"), keyed("admin.address")
	case "agent":
		port, host = keyed("admin.agent"), keyed("admin.agent")
	}
	where := "port " + strconv.Itoa(l.Port)
	if l.Host != "" {
		where = net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
	}
	var unknown *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s is in use by %s; %s sets another port",
			where, holder(l.Host, l.Port), port)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Sprintf("this user may not listen on %s, ports below 1024 are reserved; "+
			"%s sets another port", where, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Sprintf("this machine has no address %s; %s sets another", l.Host, host)
	case errors.As(err, &unknown):
		return fmt.Sprintf("the name %s has no address; %s sets another", l.Host, host)
	}
	return fmt.Sprintf("cannot listen on %s: %v; %s sets another port", where, l.Err, port)
}

// keyed names a key and its flag.
func keyed(name string) string {
	for _, k := range config.Keys() {
		if k.Name == name && k.Flag != "" {
			return name + " (--" + k.Flag + ")"
		}
	}
	return name
}

// holder names the process that listens on a port, where that can be known.
func holder(host string, port int) string {
	const nobody = "another process"
	all, err := psnet.ConnectionsWithoutUids("tcp")
	if err != nil {
		return nobody
	}
	for _, c := range all {
		if c.Status != "LISTEN" || int(c.Laddr.Port) != port || c.Pid <= 0 ||
			!overlap(host, c.Laddr.IP) {
			continue
		}
		name := "a process"
		if p, err := process.NewProcess(c.Pid); err == nil {
			if n, err := p.Name(); err == nil {
				name = n
			}
		}
		return fmt.Sprintf("%s (process %d)", name, c.Pid)
	}
	return nobody
}

// overlap tells whether who listens on one address keeps another from being listened on. A name may
// be any address.
func overlap(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX != nil || errY != nil || x.Unmap() == y.Unmap() ||
		x.IsUnspecified() || y.IsUnspecified()
}
