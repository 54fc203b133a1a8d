package console

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func serve(name string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Serve(w, r, name)
	return w
}

// All of the page together is small, packed or not there; each file says what it is, and may be
// asked for again at no cost.
func TestPage(t *testing.T) {
	kinds := map[string]string{
		".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
		".txt": "text/plain; charset=utf-8", ".md": "text/plain; charset=utf-8",
	}
	total := 0
	for name := range files() {
		w := serve(name, "Accept-Encoding", "gzip, br")
		total += w.Body.Len()
		h := w.Header()
		if kind := kinds[name[strings.LastIndexByte(name, '.'):]]; h.Get("Content-Type") != kind ||
			h.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %v, want %s", name, h, kind)
		}
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'self';") {
			t.Errorf("%s: %v", name, h)
		}
		if w := serve(name, "If-None-Match", h.Get("ETag")); w.Code != 304 || w.Body.Len() > 0 {
			t.Errorf("%s again: %d", name, w.Code)
		}
		if w := serve(name); w.Header().Get("Content-Encoding") != "" ||
			w.Body.String() != string(files()[name].plain) {
			t.Errorf("%s unpacked: %v", name, w.Header())
		}
	}
	if total > 200<<10 || total < 10<<10 {
		t.Errorf("%d bytes go over the wire", total)
	}
	if Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), "../console.go") {
		t.Error("what is no file of the page is served")
	}
}

// Nothing of the page comes from elsewhere, and what it names is there.
func TestPageStandsAlone(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?:src|href)="?https?://|import\(|@import|url\(`)
	names := regexp.MustCompile(`from '\./([^']+)'|(?:src|href)="console/([^"]+)"`)
	for name, f := range files() {
		if strings.HasPrefix(name, "vendor/") {
			continue
		}
		if at := elsewhere.Find(f.plain); at != nil {
			t.Errorf("%s loads from elsewhere: %s", name, at)
		}
		for _, m := range names.FindAllStringSubmatch(string(f.plain), -1) {
			if files()[m[1]+m[2]] == nil {
				t.Errorf("%s names %s, which is not there", name, m[1]+m[2])
			}
		}
	}
}
