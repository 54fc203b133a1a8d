// Package proc reads what the kernel knows of a process under measurement (Linux), and finds ports
// for it.
package proc

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort picks a TCP port on 127.0.0.1 that nobody listens on, below those that the kernel gives
// to outgoing connections: one of those may be taken again before a server has opened it.
func FreePort() (port int, err error) {
	const first, count, attempts = 12_000, 20_000, 100
	for range attempts {
		port = first + rand.IntN(count)
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
