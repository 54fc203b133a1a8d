//go:build unix && !linux

package door

import "net"

// listenConfig sets nothing: accept does, on each connection.
var listenConfig = net.ListenConfig{KeepAlive: -1}
