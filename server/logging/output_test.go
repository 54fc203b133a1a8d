package logging

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// disk is an output that takes so many bytes more, of the last line a part, as a full disk does.
type disk struct {
	sync.Mutex
	room    int
	content bytes.Buffer
	tries   int
}

func (d *disk) Write(p []byte) (int, error) {
	d.Lock()
	defer d.Unlock()
	d.tries++
	n := min(len(p), d.room)
	d.room -= n
	d.content.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *disk) give(room int) {
	d.Lock()
	defer d.Unlock()
	d.room = room
}

func (d *disk) lines() []string {
	d.Lock()
	defer d.Unlock()
	return strings.Split(strings.TrimSuffix(d.content.String(), "\n"), "\n")
}

const plenty = 1 << 20

// put writes a line as the output's goroutine does, which has nothing else to do meanwhile.
func put(h *Handler, message string) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, message, 0)
	h.core.write(entry{from: h, record: r})
}

// Lines that find no room are counted, and told before the next line that does; the part of one
// that was written stays a line of its own. So it is at any level, of any kind of loss.
func TestLostLinesAreCountedAndTold(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelError} {
		for _, format := range []string{"json", "text"} {
			t.Run(fmt.Sprint(level, format), func(t *testing.T) {
				d := &disk{room: plenty}
				h := New(d, level, format)
				var tapped []string // the tap's goroutine's until Close
				h.SetTap(slog.LevelWarn, func(l Line) {
					if l.Module == ownModule {
						tapped = append(tapped, string(l.Attrs))
					}
				})
				log := slog.New(h)
				log.Error("first")
				eventually(t, "the first is written", func() bool { return d.lines()[0] != "" })
				d.give(20)
				for range 3 {
					log.Error("lost")
				}
				eventually(t, "they are lost", func() bool { return h.Lost() == 3 })
				torn := d.lines()[1]
				d.give(plenty)
				log.Error("last")
				closeNow(t, h)
				got := d.lines()
				if len(got) != 4 || len(torn) != 20 || got[1] != torn ||
					!strings.Contains(got[2], "log lines lost: they could not be written") ||
					!strings.Contains(got[2], "no space left on device") ||
					!strings.Contains(got[3], "last") || h.Lost() != 3 {
					t.Errorf("lost %d: %q", h.Lost(), got)
				}
				for _, want := range []string{`"count":3`, "count=3"} {
					if strings.Contains(got[2], want) != (format == "json" == (want[0] == '"')) {
						t.Errorf("told %s", got[2])
					}
				}
				want := `,"count":3,"error":"no space left on device"`
				if len(tapped) != 1 || tapped[0] != want {
					t.Errorf("tapped %q", tapped)
				}
			})
		}
	}
}

// Wherever a write breaks off, no line is glued to another: each line of the output is whole, or
// the beginning of one.
func TestTornLinesStandAlone(t *testing.T) {
	for room := range 120 {
		d := &disk{room: room}
		h := New(d, slog.LevelInfo, "json")
		for range 3 {
			put(h, "line")
		}
		d.give(plenty)
		put(h, "line")
		closeNow(t, h)
		whole, told := 0, 0.0
		for _, line := range d.lines() {
			if !strings.HasSuffix(line, "}") {
				if !strings.HasPrefix(`{"time":"`, line[:min(len(line), 9)]) {
					t.Errorf("room %d: %q", room, line)
				}
				continue
			}
			if m := object(t, []byte(line)); m["module"] == ownModule {
				told += m["count"].(float64)
			} else if whole++; m["msg"] != "line" {
				t.Errorf("room %d: %q", room, line)
			}
		}
		if whole+int(told) != 4 || uint64(told) != h.Lost() {
			t.Errorf("room %d: %d whole, %v told: %q", room, whole, told, d.lines())
		}
	}
}

// Without another line, too, the loss is told once there is room again; while there is none it is
// tried ever less often.
func TestLossIsToldWithoutAnotherLine(t *testing.T) {
	d := &disk{}
	h := New(d, slog.LevelInfo, "json")
	o := &h.core.out
	put(h, "lost")
	for range 3 {
		h.core.woken() // as its timer has it
	}
	if o.retry == nil || o.pause != 16*retryFirst {
		t.Errorf("the next pause is %v", o.pause)
	}
	d.give(plenty)
	h.core.lines.wake()
	eventually(t, "it is told", func() bool { return strings.Contains(d.lines()[0], `"count":1`) })
	closeNow(t, h)
	if o.retry != nil || o.pause != retryFirst || len(d.lines()) != 1 {
		t.Errorf("it tries on after %v: %q", o.pause, d.lines())
	}
}

// What the queue dropped while the output was stalled is told although the output then failed.
func TestDroppedIsToldAfterAFailure(t *testing.T) {
	g := newGate()
	g.Lock()
	d := &disk{}
	h := New(both{g, d}, slog.LevelInfo, "json")
	log := slog.New(h)
	log.Info("first")
	<-g.entered
	for range queueSize + 7 {
		log.Info("more")
	}
	g.Unlock()
	eventually(t, "all are lost or dropped", func() bool {
		return h.Lost() == 1+queueSize && h.Dropped() == 7
	})
	d.give(plenty)
	log.Info("last")
	closeNow(t, h)
	lost, dropped := 0.0, 0.0
	for _, line := range d.lines() {
		switch m := object(t, []byte(line)); {
		case strings.HasPrefix(m["msg"].(string), "log lines lost"):
			lost += m["count"].(float64)
		case strings.HasPrefix(m["msg"].(string), "log lines dropped"):
			dropped += m["count"].(float64)
		}
	}
	if lost != 1+queueSize || dropped != 7 {
		t.Errorf("told of %v lost and %v dropped: %q", lost, dropped, d.lines())
	}
}

// both writes to the first, which never fails, and then to the second.
type both struct {
	first, second interface{ Write([]byte) (int, error) }
}

func (b both) Write(p []byte) (int, error) {
	_, _ = b.first.Write(p)
	return b.second.Write(p)
}

// What no line could tell of, Close does: lost and dropped, once and again.
func TestCloseTellsOfWhatIsLost(t *testing.T) {
	d := &disk{}
	h := New(d, slog.LevelInfo, "json")
	slog.New(h).Info("lost")
	slog.New(h).Info("lost")
	for range 2 {
		err := h.Close(t.Context())
		if err == nil || !strings.Contains(err.Error(), "2 in all") ||
			!errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v", err)
		}
		slog.New(h).Info("discarded")
	}
}

// A reader that goes away costs its lines, and nothing else.
func TestReaderGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	h := New(w, slog.LevelInfo, "json")
	_ = r.Close()
	slog.New(h).Info("lost")
	if err := h.Close(t.Context()); !errors.Is(err, syscall.EPIPE) || h.Lost() != 1 {
		t.Errorf("Close: %v, %d lost", err, h.Lost())
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// After logrotate has renamed the file, Reopen goes on in a new one; when that cannot be, in the
// old one. A file that another process has left in the middle of a line gets a line of its own.
func TestFileIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	path, old := filepath.Join(dir, "node.log"), filepath.Join(dir, "node.log.1")
	if err := os.WriteFile(path, []byte(`{"msg":"torn`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	h := New(f, slog.LevelInfo, "json")
	log := slog.New(h)
	log.Info("one")
	eventually(t, "it is written", func() bool { return strings.Contains(read(t, path), "one") })
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	eventually(t, "it goes on there", func() bool { return strings.Contains(read(t, old), "two") })
	h.Reopen()
	eventually(t, "the new one begins", func() bool {
		b, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(b), "the log file is opened again")
	})
	log.Info("three")
	eventually(t, "it goes on", func() bool { return strings.Contains(read(t, path), "three") })
	if err := os.Rename(path, old+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	h.Reopen()
	eventually(t, "it says that it cannot", func() bool {
		return strings.Contains(read(t, old+"2"), "is a directory")
	})
	log.Info("four")
	closeNow(t, h)
	first := strings.Split(read(t, old), "\n")
	if len(first) != 4 || first[0] != `{"msg":"torn` || !strings.Contains(first[1], "one") {
		t.Errorf("the old file: %q", first)
	}
	if second := read(t, old+"2"); !strings.Contains(second, "three") ||
		!strings.Contains(second, "four") || strings.Count(second, "\n") != 4 {
		t.Errorf("the new file: %s", second)
	}
}

// What is no file is not opened again, and a pipe that nobody reads is not waited for.
func TestOpenOddFiles(t *testing.T) {
	var out bytes.Buffer
	h := New(&out, slog.LevelInfo, "json")
	h.Reopen()
	closeNow(t, h)
	if out.Len() != 0 {
		t.Errorf("output %s", out.String())
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if f, err := OpenFile(pipe); err == nil {
		_ = f.Close()
		t.Error("a pipe without a reader is open")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	for path, want := range map[string]error{
		t.TempDir(): syscall.EISDIR, "/none/node.log": syscall.ENOENT,
	} {
		if _, err := OpenFile(path); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	f, err := OpenFile("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	full := New(f, slog.LevelInfo, "json")
	slog.New(full).Info("lost")
	if err := full.Close(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close: %v", err)
	}
}
