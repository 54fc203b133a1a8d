//go:build linux

package bench

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The generator's system calls. All are on descriptors that never block, or bounded in time, so
// that the Go scheduler need not be told: that saves it about 50 ns each.

func sysRead(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// sysDiscard takes up to len(b) bytes from a TCP socket without copying them (tcp(7), MSG_TRUNC).
func sysDiscard(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func sysWrite(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// sysWait is epoll_wait; an interrupted call counts as one without events.
func sysWait(epoll int, events []unix.EpollEvent, timeoutMs int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
		uintptr(timeoutMs), 0, 0)
	if errno == unix.EINTR {
		return 0, 0
	}
	return int(n), errno
}

// threadCPU is the CPU time of the calling thread in ns.
func threadCPU() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return t.Nano()
}
