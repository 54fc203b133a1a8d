//go:build unix && !linux

package door

import "net"

// listenConfig leaves keep-alive to Go, which sets it on each connection.
var listenConfig net.ListenConfig
