// Package console is the page that shows a node to people: files for a browser, which ask the admin
// listener's own paths and nothing else. It holds no data of the node.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"mbserver/docs"
)

//go:embed page
var page embed.FS

// policy is what a browser may do with the page: load from this listener, and run nothing that
// stands in the page itself.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is one of the page, packed once.
type file struct {
	kind, tag     string
	plain, zipped []byte
}

// runbook is the name under which docs/operations.md is there, too.
const runbook = "runbook.md"

// files are those of the page, by name. Packing them takes some milliseconds: it is done for the
// first who asks, not at each start of a node.
var files = sync.OnceValue(func() map[string]*file {
	all := make(map[string]*file)
	err := fs.WalkDir(page, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		plain, err := page.ReadFile(name)
		if err != nil {
			return err
		}
		all[strings.TrimPrefix(name, "page/")] = pack(name, plain)
		return nil
	})
	if err != nil {
		panic("console: " + err.Error()) // they stand in the program
	}
	all[runbook] = pack(runbook, docs.Operations)
	return all
})

func pack(name string, plain []byte) *file {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is known
	_, _ = w.Write(plain)                                 // a buffer takes all
	_ = w.Close()
	sum := sha256.Sum256(plain)
	f := &file{
		kind: mime.TypeByExtension(path.Ext(name)), tag: `"` + hex.EncodeToString(sum[:8]) + `"`,
		plain: plain, zipped: b.Bytes(),
	}
	switch path.Ext(name) { // whatever the machine's table says
	case ".js":
		f.kind = "text/javascript; charset=utf-8"
	case ".md":
		f.kind = "text/plain; charset=utf-8" // a browser shows that
	}
	return f
}

// Serve answers with a file of the page, "index.html" the first, or says that there is none. Any
// goroutine.
func Serve(w http.ResponseWriter, r *http.Request, name string) (served bool) {
	f := files()[name]
	if f == nil {
		return false
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // asked for again, and answered 304
	h.Set("Vary", "Accept, Accept-Encoding")
	h.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h.Set("Content-Type", f.kind)
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	_, _ = w.Write(body)
	return true
}
