package reactor

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PauseReading implements broker.Socket: a silenced descriptor stays in gnet's epoll with no events
// asked for. Errors and hang-ups are still reported.
func (s *socket) PauseReading(paused bool) {
	ev := unix.EpollEvent{Fd: s.fd}
	if !paused {
		// As gnet's poller asks for (pkg/netpoll, ReadEvents).
		ev.Events = unix.EPOLLIN | unix.EPOLLPRI
	}
	if err := unix.EpollCtl(s.reactor.epoll, unix.EPOLL_CTL_MOD, int(s.fd), &ev); err != nil {
		s.reactor.group.complain("cannot leave a socket unread", err)
	}
}

// Unacked implements broker.Socket.
func (s *socket) Unacked() int {
	n, err := unix.IoctlGetInt(int(s.fd), unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// findEpoll returns the epoll descriptor that watches fd: gnet's poller keeps its own to itself. It
// looks through all descriptors of the process, and so belongs to the start of the node.
func findEpoll(fd int) (int, error) {
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		return 0, err
	}
	for _, path := range infos {
		epoll, err := strconv.Atoi(filepath.Base(path))
		if err == nil && watches(path, fd) {
			return epoll, nil
		}
	}
	return 0, fmt.Errorf("no epoll watches descriptor %d", fd)
}

// watches reads the "tfd:" lines of proc_pid_fdinfo(5).
func watches(path string, fd int) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == "tfd:" && fields[1] == strconv.Itoa(fd) {
			return true
		}
	}
	return false
}
