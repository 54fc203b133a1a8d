package main

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the files of a configuration have to be left alone before they are read:
// editors and deployments write in several steps. Who never leaves them alone is not waited for
// longer than settleMax.
const (
	settle    = 300 * time.Millisecond
	settleMax = 3 * time.Second
)

// watched is what a configuration is read from, and what is known of it.
type watched struct {
	notes   *fsnotify.Watcher
	paths   func() []string
	log     *slog.Logger
	folders map[string]bool // that are looked into
	names   map[string]bool // in those, that lead to a file, and the folders themselves
	seen    map[string][sha256.Size]byte
}

// watch calls changed when the content of one of some files is not that of which seen are the
// digests any more, or when others are meant, until stop is called. Each time something is sent to
// again it finds out anew which they are. An error says that nothing is watched.
func watch(
	paths func() []string, seen map[string][sha256.Size]byte, log *slog.Logger,
	again <-chan struct{}, changed func(),
) (stop func(), err error) {
	notes, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watched{notes: notes, paths: paths, log: log, seen: seen}
	if err := w.find(); err != nil {
		_ = notes.Close()
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(again, changed)
	}()
	return func() {
		_ = notes.Close()
		<-ended
	}, nil
}

func (w *watched) run(again <-chan struct{}, changed func()) {
	timer := time.NewTimer(settle) // what changed since seen
	var since time.Time            // of the first change not looked at; zero: there is none
	for {
		select {
		case note, ok := <-w.notes.Events:
			if !ok {
				return
			}
			if !w.names[note.Name] {
				continue // another file of the folder: the log, perhaps
			}
		case err, ok := <-w.notes.Errors:
			if !ok {
				return
			}
			w.log.Warn("watching the configuration's files: "+err.Error(), "error", err.Error())
		case <-again:
			// Whoever read them knows their content; which they are is found out behind.
		case <-timer.C:
			since = time.Time{}
			if err := w.find(); err != nil {
				w.log.Warn("watching the configuration's files: "+err.Error(), "error", err.Error())
			}
			if now := digests(w.paths()); !maps.Equal(now, w.seen) {
				w.seen = now
				changed()
			}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		timer.Reset(min(settle, max(time.Until(since.Add(settleMax)), 0)))
	}
}

// find looks for the files, and has the folders watched on which it depends what they are: not the
// files, since programs put a new one in the place of an old one; and on the way every folder that
// holds a link, since deployments exchange those.
func (w *watched) find() (err error) {
	folders, names := make(map[string]bool), make(map[string]bool)
	for _, path := range w.paths() {
		if path, bad := filepath.Abs(path); bad == nil {
			trace(path, folders, names)
		}
	}
	for folder := range w.folders {
		_ = w.notes.Remove(folder) // another may be there by that name
	}
	for folder := range folders {
		names[folder] = true
		err = errors.Join(err, w.notes.Add(folder))
	}
	w.folders, w.names = folders, names
	return err
}

// linksMax is how many links are followed to a file.
const linksMax = 40

// trace adds what leads to an absolute path: the names of the links on the way, of the file and of
// its folder, and the folders in which these are.
func trace(path string, folders, names map[string]bool) {
	at, rest := string(filepath.Separator), split(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		info, err := os.Lstat(next)
		isLink := err == nil && info.Mode()&os.ModeSymlink != 0
		if len(rest) <= 2 || isLink || err != nil {
			folders[at], names[next] = true, true
		}
		switch {
		case err != nil:
			return // it may come
		case !isLink:
			at, rest = next, rest[1:]
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > linksMax {
			return
		}
		if filepath.IsAbs(target) {
			at = string(filepath.Separator)
		}
		rest = append(split(target), rest[1:]...)
	}
}

// split returns the elements of a path.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

// digests are of the content of files by path; that of one that cannot be read is zero.
func digests(paths []string) map[string][sha256.Size]byte {
	all := make(map[string][sha256.Size]byte, len(paths))
	for _, path := range paths {
		var sum [sha256.Size]byte
		if text, err := os.ReadFile(path); err == nil {
			sum = sha256.Sum256(text)
		}
		all[path] = sum
	}
	return all
}
