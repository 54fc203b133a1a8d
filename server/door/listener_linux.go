package door

import "golang.org/x/sys/unix"

// waiting is how many connections wait to be accepted. Of a listening socket the kernel tells that
// where it tells of others how much is not acknowledged (tcp_get_info in net/ipv4/tcp.c).
func (l *listener) waiting() int {
	if l.fd < 0 || l.resting {
		return 0
	}
	info, err := unix.GetsockoptTCPInfo(l.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int(info.Unacked)
}
