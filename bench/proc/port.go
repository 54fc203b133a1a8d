// Package proc reads what the kernel knows of a process under measurement (Linux), and finds ports
// for it.
package proc

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// claims are UDP sockets on the ports that were picked, which keep them for this process until it
// ends: nobody else who picks gets one of them before its server has opened it. They are at an
// address of their own, for a server of HTTP/3 opens its port for UDP, too. Guarded by mu.
var claims struct {
	mu  sync.Mutex
	all []net.PacketConn
}

// FreePort picks a TCP port on 127.0.0.1 that nobody listens on, each once among all processes that
// live, below those that the kernel gives to outgoing connections: one of those may be taken again
// before a server has opened it. Any goroutine.
func FreePort() (port int, err error) {
	const first, count, attempts = 12_000, 20_000, 1000
	for range attempts {
		port = first + rand.IntN(count)
		if err = claim(strconv.Itoa(port)); err == nil {
			return port, nil
		}
	}
	return 0, err
}

// claim keeps a port, if nobody has it.
func claim(port string) error {
	own, err := net.ListenPacket("udp", "127.94.94.94:"+port)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		_ = own.Close() // it is not used
		return err
	}
	claims.mu.Lock()
	defer claims.mu.Unlock()
	claims.all = append(claims.all, own)
	return nil
}
