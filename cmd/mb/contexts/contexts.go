// Package contexts is the file of named servers and what to show them, so that neither has to be
// typed, or be seen in the list of processes.
package contexts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Context is one server and what to show it.
type Context struct {
	Name       string `json:"name"`
	Server     string `json:"server"`               // URL, or several with commas between them
	Token      string `json:"token,omitempty"`      // credential
	CA         string `json:"ca,omitempty"`         // file of certificates to trust
	Cert       string `json:"cert,omitempty"`       // file of a certificate to show
	Key        string `json:"key,omitempty"`        // file of its key, when that is another
	ServerName string `json:"serverName,omitempty"` // in the server's certificate
	Insecure   bool   `json:"insecure,omitempty"`
}

// File is the saved contexts. Not for several goroutines at once; of two programs that save at
// the same time the later one wins.
type File struct {
	path string

	Current  string    `json:"current,omitempty"` // name of the one in use
	Contexts []Context `json:"contexts"`          // by name
}

var legalName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ErrNoPlace says that the environment names no folder for the user's files.
var ErrNoPlace = errors.New("no folder for the contexts")

// Path returns where the contexts are: mb/contexts.json in the user's folder of configurations.
func Path() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoPlace, err)
	}
	return filepath.Join(dir, "mb", "contexts.json"), nil
}

// Load reads the file at path. One that is not there holds none.
func Load(path string) (*File, error) {
	f := &File{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(text, f)
	}
	if err != nil {
		return nil, fmt.Errorf("contexts in %s: %w", path, err)
	}
	return f, nil
}

// Exposed reports whether others than the owner may read the file while it holds credentials.
func (f *File) Exposed() bool {
	info, err := os.Stat(f.path)
	secret := slices.ContainsFunc(f.Contexts, func(c Context) bool { return c.Token != "" })
	return err == nil && secret && info.Mode().Perm()&0o077 != 0
}

// Path returns where the file is.
func (f *File) Path() string { return f.path }

// Find returns the context with this name.
func (f *File) Find(name string) (Context, bool) {
	at := f.index(name)
	if at < 0 {
		return Context{}, false
	}
	return f.Contexts[at], true
}

// Names returns the names of all contexts.
func (f *File) Names() []string {
	names := make([]string, len(f.Contexts))
	for i, c := range f.Contexts {
		names[i] = c.Name
	}
	return names
}

func (f *File) index(name string) int {
	return slices.IndexFunc(f.Contexts, func(c Context) bool { return c.Name == name })
}

// Add takes a new context. A name that is taken is an error.
func (f *File) Add(c Context) error {
	if !legalName.MatchString(c.Name) {
		return fmt.Errorf("context %q: a name is 1 to 64 letters, digits, dots, hyphens and "+
			"underscores, the first a letter or a digit", c.Name)
	}
	if f.index(c.Name) >= 0 {
		return fmt.Errorf("context %s is there already: remove it first", c.Name)
	}
	f.Contexts = append(f.Contexts, c)
	slices.SortFunc(f.Contexts, func(a, b Context) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// Remove forgets the context with this name and reports whether it was there.
func (f *File) Remove(name string) bool {
	at := f.index(name)
	if at < 0 {
		return false
	}
	f.Contexts = slices.Delete(f.Contexts, at, at+1)
	if f.Current == name {
		f.Current = ""
	}
	return true
}

// Save writes the file, for its owner alone. It is the old one or the new one at any time.
func (f *File) Save() error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(dir, ".contexts-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = next.Write(append(text, '\n'))
	err = errors.Join(err, next.Close())
	if err == nil {
		err = os.Rename(next.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(next.Name()) // The error before is the one to tell.
	}
	return err
}
