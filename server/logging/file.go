package logging

import (
	"io"
	"os"
	"syscall"
)

// fileMode is what a log file is created with: lines name clients' addresses.
const fileMode = 0o640

// File is an output that appends to a file and can be opened anew, after something else, such as
// logrotate, has renamed it. One goroutine at a time; of a File given to New that is the handler's.
type File struct {
	path string // immutable
	file *os.File
}

// OpenFile opens the file for appending, and creates it when it is not there. A named pipe that
// nobody reads is an error, not a wait.
func OpenFile(path string) (*File, error) {
	f, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, file: f}, nil
}

func openAppend(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK
	return os.OpenFile(path, flags, fileMode)
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) { return f.file.Write(p) }

// Reopen goes on in the file that has the path now. When that cannot be opened, it stays with the
// old one.
func (f *File) Reopen() error {
	next, err := openAppend(f.path)
	if err != nil {
		return err
	}
	_ = f.file.Close()
	f.file = next
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// torn says that the file ends in the middle of a line, as a process leaves it that was killed or
// found no room. What is no regular file, or cannot be read, does not.
func (f *File) torn() bool {
	info, err := f.file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	in, err := os.Open(f.path)
	if err != nil {
		return false
	}
	defer in.Close()
	var last [1]byte
	if _, err := in.Seek(-1, io.SeekEnd); err != nil {
		return false
	}
	_, err = in.Read(last[:])
	return err == nil && last[0] != '\n'
}
