package main

import (
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the files of a configuration have to be left alone before they are read:
// editors and deployments write in several steps.
const settle = 300 * time.Millisecond

// watch calls changed when the content of one of some files has changed, until stop is called.
// Folders are watched, not files: programs put a new file in the place of an old one. An error says
// that nothing is watched.
func watch(paths []string, log *slog.Logger, changed func()) (stop func(), err error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	folders := make(map[string]bool)
	for _, path := range paths {
		folders[filepath.Dir(path)] = true
		// Through links too: orchestrators exchange the folder that a link leads to.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			folders[filepath.Dir(real)] = true
		}
	}
	for folder := range folders {
		if err := watcher.Add(folder); err != nil {
			_ = watcher.Close()
			return nil, err
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		seen := digests(paths)
		timer := time.NewTimer(settle)
		timer.Stop()
		for {
			select {
			case _, ok := <-watcher.Events:
				if !ok {
					return
				}
				timer.Reset(settle)
			case err, ok := <-watcher.Errors:
				if !ok {
					return
				}
				log.Warn("watching the configuration's files: "+err.Error(), "error", err.Error())
				timer.Reset(settle)
			case <-timer.C:
				if now := digests(paths); !slices.Equal(now, seen) {
					seen = now
					changed()
				}
			}
		}
	}()
	return func() {
		_ = watcher.Close()
		<-ended
	}, nil
}

// digests are of the content of files; that of one that cannot be read is zero.
func digests(paths []string) [][sha256.Size]byte {
	all := make([][sha256.Size]byte, len(paths))
	for i, path := range paths {
		if text, err := os.ReadFile(path); err == nil {
			all[i] = sha256.Sum256(text)
		}
	}
	return all
}
