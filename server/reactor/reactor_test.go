package reactor

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mbserver/server/broker"
	"mbserver/server/config"
)

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// start runs the loops of a broker with nobody in it. stop ends them, at the latest after the test.
func start(t testing.TB, loops int) (b *broker.Broker, g *Group, stop func()) {
	t.Helper()
	cfg := config.Default()
	cfg.Loops = loops
	log := slog.New(slog.DiscardHandler)
	b, err := broker.New(cfg, broker.Options{Logger: log, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	g, err = Start(b, log)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = g.Stop(context.Background())
		b.Stop(context.Background())
	})
	t.Cleanup(stop)
	return b, g, stop
}

// pair returns both ends of a connection, one of them as a descriptor that does not block.
func pair(t testing.TB) (fd int, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	_ = peer.SetDeadline(time.Now().Add(patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(own uintptr) {
		fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd, peer
}

// enter makes a connection of fd, as the door does.
func enter(t testing.TB, b *broker.Broker, g *Group, fd int) error {
	t.Helper()
	if why := b.Admit(netip.Addr{}); why != "" {
		t.Fatal(why)
	}
	l := b.LoopFor()
	var err error
	g.At(l).Call(context.Background(), func() {
		err = g.At(l).Open(fd, &broker.Arrival{Remote: netip.MustParseAddrPort("192.0.2.1:1")})
	})
	if err != nil {
		l.GiveBack()
		b.Release(netip.Addr{})
	}
	return err
}

// guest notes what it is told.
type guest struct {
	fd   int
	told chan string
}

func (g *guest) Ready(buf []byte) {
	n, err := unix.Read(g.fd, buf)
	if err == nil {
		g.told <- string(buf[:n])
	}
}

// A guest is told of what comes until it is forgotten; then its descriptor can become a connection.
func TestGuests(t *testing.T) {
	b, g, _ := start(t, 1)
	r := g.At(b.Loops()[0])
	fd, peer := pair(t)
	v := &guest{fd: fd, told: make(chan string, 16)}
	r.Call(context.Background(), func() {
		if err := r.Watch(fd, v); err != nil {
			t.Error(err)
		}
	})
	for _, text := range []string{"one", "two"} {
		if _, err := io.WriteString(peer, text); err != nil {
			t.Fatal(err)
		}
		if got := <-v.told; got != text {
			t.Fatalf("it was told %q, not %q", got, text)
		}
	}
	r.Call(context.Background(), func() { r.Forget(fd) })
	if _, err := io.WriteString(peer, "\x00\x00"); err != nil {
		t.Fatal(err)
	}
	r.Call(context.Background(), func() {})
	if len(v.told) != 0 {
		t.Errorf("a forgotten guest was told %q", <-v.told)
	}
	r.Call(context.Background(), func() {
		if err := r.Watch(fd, v); err != nil {
			t.Error(err)
		}
	})
	if got := <-v.told; got != "\x00\x00" {
		t.Errorf("watched again, it was told %q", got)
	}
	if err := enter(t, b, g, fd); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 34)
	if _, err := io.ReadFull(peer, head); err != nil ||
		string(head[4:]) != "publish:system.initialize:1.0."[:30] {
		t.Errorf("the welcome is %q, %v", head, err)
	}
	if len(r.guests) != 0 {
		t.Errorf("%d guests are left", len(r.guests))
	}
	other, end := pair(t)
	r.Call(context.Background(), func() {
		if err := r.Watch(other, v); err != nil {
			t.Error(err)
		}
		r.Close(other)
	})
	if _, err := end.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a closed guest's peer reads %v", err)
	}
}

// What cannot be watched is no connection, and the caller's to close.
func TestOpenFails(t *testing.T) {
	b, g, _ := start(t, 1)
	file, err := unix.Open("/proc/self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := enter(t, b, g, file); err == nil { // epoll takes no files
		t.Error("a file became a connection")
	}
	if err := unix.Close(file); err != nil {
		t.Errorf("the descriptor is not open any more: %v", err)
	}
}

// Stop closes every connection. Afterwards nothing more is taken, and Call does it itself.
func TestStop(t *testing.T) {
	b, g, stop := start(t, 3)
	var peers []net.Conn
	for range 30 {
		fd, peer := pair(t)
		if err := enter(t, b, g, fd); err != nil {
			t.Fatal(err)
		}
		peers = append(peers, peer)
	}
	loads := make([]int, 3)
	g.sockets.each(func(s *socket) { loads[s.reactor.loop.Index()]++ })
	for i, n := range loads {
		if n != 10 {
			t.Errorf("loop %d has %d connections of 30", i, n)
		}
	}
	stop()
	for _, peer := range peers {
		if _, err := io.Copy(io.Discard, peer); err != nil {
			t.Errorf("after Stop a peer reads %v", err)
		}
	}
	r := g.At(b.Loops()[0])
	if r.Do(func() {}) {
		t.Error("a loop that has stopped takes more")
	}
	r.Schedule()
	called := false
	r.Call(context.Background(), func() { called = true })
	if !called {
		t.Error("Call did nothing")
	}
	g.sockets.each(func(s *socket) { t.Errorf("descriptor %d is left", s.fd) })
}

// Loops may be woken and stopped at the same time.
func TestWakingAgainstStopping(t *testing.T) {
	for range 50 {
		b, g, stop := start(t, 2)
		var all sync.WaitGroup
		for _, l := range b.Loops() {
			r := g.At(l)
			all.Go(func() {
				for range 200 {
					r.Schedule()
				}
			})
			all.Go(func() {
				for range 50 {
					r.Call(context.Background(), func() {})
				}
			})
		}
		stop()
		all.Wait()
	}
}

// Whatever goroutine puts and removes, the table finds exactly what is there.
func TestTable(t *testing.T) {
	var tb table
	if tb.get(5) != nil {
		t.Error("an empty table has something")
	}
	const each, workers = 3 * pageSize, 4
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			own := make([]socket, each)
			for i := range own {
				fd := i*workers + w
				tb.put(fd, &own[i])
				if tb.get(fd) != &own[i] {
					t.Errorf("descriptor %d is lost", fd)
				}
				if i%2 == 1 {
					tb.remove(fd)
				}
			}
		})
	}
	all.Wait()
	n := 0
	tb.each(func(*socket) { n++ })
	if n != each*workers/2 {
		t.Errorf("%d entries, not %d", n, each*workers/2)
	}
	if tb.get(each*workers+pageSize) != nil {
		t.Error("something is behind the end")
	}
}

// What an idle connection costs is held here: a field more takes the next size of the allocator.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(socket{}); n > 384 {
		t.Errorf("a connection takes %d bytes, at most 384", n)
	}
}
