package door

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"mbserver/server/config"
)

// Of localhost every loopback address that there is is bound, to one port. That of either family
// may be missing, not both; a port in use is no missing address.
func TestBindAll(t *testing.T) {
	const v4, v6 = "127.0.0.1", "::1"
	const anyPort, missing = config.AnyPort, syscall.EADDRNOTAVAIL
	for _, tt := range []struct {
		host  string
		port  int
		fails map[string]error
		want  string // what was bound
		err   error
	}{
		{"localhost", 7, nil, "127.0.0.1/7 ::1/7", nil},
		{"LocalHost", 7, nil, "127.0.0.1/7 ::1/7", nil},
		{"localhost", anyPort, nil, "127.0.0.1/1000 ::1/1000", nil},
		{"localhost", 7, map[string]error{v6: missing}, "127.0.0.1/7", nil},
		{"localhost", 7, map[string]error{v6: syscall.EAFNOSUPPORT}, "127.0.0.1/7", nil},
		{"localhost", 7, map[string]error{v4: missing}, "::1/7", nil},
		{"localhost", 7, map[string]error{v4: syscall.EAFNOSUPPORT}, "::1/7", nil},
		{"localhost", anyPort, map[string]error{v4: missing}, "::1/1000", nil},
		{"localhost", anyPort, map[string]error{v6: syscall.EADDRINUSE}, "127.0.0.1/1000", nil},
		{"localhost", 7, map[string]error{v4: missing, v6: syscall.EAFNOSUPPORT},
			"", missing},
		{"localhost", 7, map[string]error{v4: syscall.EADDRINUSE}, "", syscall.EADDRINUSE},
		{"localhost", 7, map[string]error{v6: syscall.EADDRINUSE},
			"127.0.0.1/7", syscall.EADDRINUSE},
		{"localhost", 7, map[string]error{v4: missing, v6: syscall.EADDRINUSE},
			"", syscall.EADDRINUSE},
		{"10.0.0.1", 7, nil, "10.0.0.1/7", nil},
		{"", 7, nil, "/7", nil},
		{"10.0.0.1", 7, map[string]error{"10.0.0.1": missing},
			"", missing},
	} {
		var bound []string
		err := bindAll(tt.host, tt.port, func(host string, port int) (int, error) {
			if err := tt.fails[host]; err != nil {
				return 0, &ListenError{"ws", host, port, &net.OpError{Op: "listen", Err: err}}
			}
			if port == 0 {
				port = 1000
			}
			bound = append(bound, fmt.Sprint(host, "/", port))
			return port, nil
		})
		if got := strings.Join(bound, " "); got != tt.want || !errors.Is(err, tt.err) ||
			(err == nil) != (tt.err == nil) {
			t.Errorf("%+v: bound %s, %v", tt, got, err)
		}
	}
}
