//go:build linux

package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Watchers says which event loop serves a connection: it returns, by the other end's port, the
// epolls (as descriptors) of a process that watch its TCP connections over IPv4
// (proc_pid_fdinfo(5), proc_pid_net(5)). One that just changes hands may have two or none.
func Watchers(pid int) (map[uint16][]int, error) {
	folder := fmt.Sprintf("/proc/%d", pid)
	descriptors, err := os.ReadDir(folder + "/fd")
	if err != nil {
		return nil, err
	}
	by := make(map[uint64][]int) // inode of a socket
	for _, d := range descriptors {
		link, err := os.Readlink(folder + "/fd/" + d.Name())
		if err != nil || link != "anon_inode:[eventpoll]" {
			continue // Closed meanwhile, or another kind.
		}
		info, err := os.ReadFile(folder + "/fdinfo/" + d.Name())
		if err != nil {
			continue // As above.
		}
		epoll, _ := strconv.Atoi(d.Name()) // The kernel writes numbers.
		for _, inode := range watched(info) {
			by[inode] = append(by[inode], epoll)
		}
	}
	table, err := os.ReadFile(folder + "/net/tcp")
	if err != nil {
		return nil, err
	}
	out := make(map[uint16][]int)
	for inode, port := range remotePorts(table) {
		if epolls := by[inode]; len(epolls) > 0 {
			out[port] = epolls
		}
	}
	return out, nil
}

// watched returns the inodes in the fdinfo of an epoll.
func watched(info []byte) (inodes []uint64) {
	for line := range bytes.Lines(info) {
		if !bytes.HasPrefix(line, []byte("tfd:")) {
			continue
		}
		_, after, _ := strings.Cut(string(line), " ino:")
		digits, _, _ := strings.Cut(after, " ")
		if n, err := strconv.ParseUint(digits, 16, 64); err == nil {
			inodes = append(inodes, n)
		}
	}
	return inodes
}

// remotePorts returns the ports of the other ends in /proc/net/tcp, by the sockets' inodes.
func remotePorts(table []byte) map[uint64]uint16 {
	const remote, inode = 2, 9 // columns
	ports := make(map[uint64]uint16)
	for line := range bytes.Lines(table) {
		columns := strings.Fields(string(line))
		if len(columns) <= inode {
			continue
		}
		_, digits, _ := strings.Cut(columns[remote], ":")
		port, err := strconv.ParseUint(digits, 16, 16)
		if id := uint64(number(line, inode)); err == nil && port > 0 && id > 0 {
			ports[id] = uint16(port)
		}
	}
	return ports
}
