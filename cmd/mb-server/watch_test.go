package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// replacement is a way to put new content in the place of old.
type replacement struct {
	path   string // in the test's folder
	before func(dir string)
	change func(dir string)
	none   bool // nothing has changed
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func put(path, text string) {
	must(os.MkdirAll(filepath.Dir(path), 0o700))
	must(os.WriteFile(path, []byte(text), 0o600))
}

// link makes a link as ln -sfn does, at once.
func link(target, path string) {
	must(os.Symlink(target, path+".new"))
	must(os.Rename(path+".new", path))
}

var replacements = map[string]replacement{
	"written": {"f", nil, func(dir string) { put(dir+"/f", "new") }, false},
	"renamed": {"f", nil, func(dir string) {
		put(dir+"/f~", "new")
		must(os.Rename(dir+"/f~", dir+"/f"))
	}, false},
	"moved away and written": {"f", nil, func(dir string) {
		must(os.Rename(dir+"/f", dir+"/f~"))
		put(dir+"/f", "new")
	}, false},
	"the same again": {"f", nil, func(dir string) { put(dir+"/f", "old") }, true},
	"touched": {"f", nil, func(dir string) {
		must(os.Chtimes(dir+"/f", time.Now(), time.Now()))
	}, true},
	"a neighbour": {"f", nil, func(dir string) { put(dir+"/g", "new") }, true},
	"a mounted map": {"f", func(dir string) {
		put(dir+"/..1/f", "old")
		link("..1", dir+"/..data")
		link("..data/f", dir+"/f")
	}, func(dir string) {
		put(dir+"/..2/f", "new")
		link("..2", dir+"/..data")
		must(os.RemoveAll(dir + "/..1"))
	}, false},
	"a linked release": {"current/f", func(dir string) {
		put(dir+"/1/f", "old")
		link("1", dir+"/current")
	}, func(dir string) {
		put(dir+"/2/f", "new")
		link("2", dir+"/current")
	}, false},
	"a link to a linked release": {"etc/f", func(dir string) {
		put(dir+"/1/f", "old")
		link("1", dir+"/current")
		must(os.MkdirAll(dir+"/etc", 0o700))
		link(dir+"/current/f", dir+"/etc/f")
	}, func(dir string) {
		put(dir+"/2/f", "new")
		link("2", dir+"/current")
	}, false},
	"the folder": {"conf/f", func(dir string) { put(dir+"/conf/f", "old") }, func(dir string) {
		must(os.Rename(dir+"/conf", dir+"/conf~"))
		put(dir+"/conf.new/f", "new")
		must(os.Rename(dir+"/conf.new", dir+"/conf"))
	}, false},
}

// Every way in which programs put new content in the place of old is noticed; what is none is not.
func TestWatch(t *testing.T) {
	for name, tt := range replacements {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if tt.before != nil {
				tt.before(dir)
			} else {
				put(dir+"/f", "old")
			}
			w := watchHere(t, filepath.Join(dir, tt.path))
			tt.change(dir)
			if tt.none {
				time.Sleep(3 * settle / 2)
				if n := w.changes.Load(); n != 0 {
					t.Errorf("%d changes", n)
				}
				return
			}
			w.wait(t, 1)
			// And it is watched as before.
			put(filepath.Join(dir, tt.path), "newer")
			w.wait(t, 2)
		})
	}
}

// A file that is gone, or cannot be read, is a change, and so is its return; a neighbour that is
// written all the time, as a log is, holds nothing up.
func TestWatchGoneAndBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write(path, "old")
	w := watchHere(t, path)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(settle / 30):
				write(path+".log", time.Now().String())
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	_ = os.Remove(path)
	w.wait(t, 1)
	_ = os.Mkdir(path, 0o700) // it cannot be read: root may read everything else
	_ = os.Remove(path)
	write(path, "old")
	w.wait(t, 2)
}

// Which files there are may change with their content.
func TestWatchOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "a", "f"), filepath.Join(dir, "b", "f")
	for _, path := range []string{first, second} {
		_ = os.Mkdir(filepath.Dir(path), 0o700)
		_ = os.WriteFile(path, nil, 0o600)
	}
	w := watchHere(t, first)
	w.paths.Store(&[]string{first, second})
	w.again <- struct{}{}
	w.wait(t, 1)
	_ = os.WriteFile(second, []byte("new"), 0o600)
	w.wait(t, 2)
}

type watchTest struct {
	changes atomic.Int32
	paths   atomic.Pointer[[]string]
	again   chan struct{}
}

func watchHere(t *testing.T, paths ...string) *watchTest {
	t.Helper()
	w := &watchTest{again: make(chan struct{}, 1)}
	w.paths.Store(&paths)
	stop, err := watch(func() []string { return *w.paths.Load() }, digests(paths),
		slog.New(slog.NewTextHandler(io.Discard, nil)), w.again, func() { w.changes.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return w
}

// wait waits until there were count changes.
func (w *watchTest) wait(t *testing.T, count int32) {
	t.Helper()
	for begin := time.Now(); w.changes.Load() < count; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%d changes, want %d", w.changes.Load(), count)
		}
	}
}
