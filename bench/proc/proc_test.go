//go:build linux

package proc

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNumber(t *testing.T) {
	line := []byte("123456789 55 7\n")
	if got := number(line, 0); got != 123456789 {
		t.Errorf("first: got %d", got)
	}
	if got := number(line, 1); got != 55 {
		t.Errorf("second: got %d", got)
	}
	if got := number(nil, 0); got != 0 {
		t.Errorf("nothing: got %d", got)
	}
}

func TestOwnProcess(t *testing.T) {
	if n := CPU(os.Getpid()); n <= 0 {
		t.Errorf("this process has used %d ns", n)
	}
	if s := SchedOf(os.Getpid()); s.Ran <= 0 || s.Slices <= 0 || s.Waited < 0 {
		t.Errorf("this process was scheduled so: %+v", s)
	}
	if text := Threads(os.Getpid()); !strings.Contains(text, ": R, ran ") {
		t.Errorf("none of this process's threads runs: %s", text)
	}
	if n := Resident(os.Getpid()); n < 1<<20 {
		t.Errorf("this process holds %d bytes", n)
	}
}

// A connection of this process is watched by Go's own epoll, then by one more.
func TestWatchers(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	port := uint16(out.LocalAddr().(*net.TCPAddr).Port)
	before, err := Watchers(os.Getpid())
	if err != nil || len(before[port]) != 1 {
		t.Fatalf("watched by Go alone: %v, %v", before[port], err)
	}

	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll) //nolint:errcheck // nothing is lost with it
	raw, err := in.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var added error
	err = raw.Control(func(fd uintptr) {
		readable := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		added = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(fd), &readable)
	})
	if err != nil || added != nil {
		t.Fatal(err, added)
	}
	after, err := Watchers(os.Getpid())
	if err != nil || len(after[port]) != 2 || !slices.Contains(after[port], epoll) {
		t.Errorf("watched by %d too: %v, %v", epoll, after[port], err)
	}
	if _, err := Watchers(-1); err == nil {
		t.Error("no process is no error")
	}
}
