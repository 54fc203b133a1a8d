package admin

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"mbserver/server/origin"
	"mbserver/server/permit"
)

// Desk knows who somebody is and what they may do (protocol §10). Any goroutine.
type Desk interface {
	// Anonymous returns what who gives no credentials may do, nil for everything. ok is false where
	// credentials are required.
	Anonymous() (rules *permit.Rules, ok bool)
	// Identify checks a token that came from an address, beside the loops, and waits for that.
	// standing tells what its holder may do at the time it is called, or not ok when the token is
	// good no more; it may be called for as long as somebody stays. The error is one word of the
	// reasons of UNAUTHORIZED; with locked_out, left is for how long.
	Identify(token string, from netip.Addr) (
		identity string, standing func() (*permit.Rules, bool), left time.Duration, err error)
}

// viewer is who asks. Owned by the goroutine of its request.
type viewer struct {
	identity string // "": who gives no credentials
	remote   string // address and port
	rules    *permit.Rules
	payloads bool // may see what messages carry, of topics that its rules allow to subscribe to
	operator bool // may change the node

	standing func() (*permit.Rules, bool)
	open     bool // admin.operator, for who gives no credentials
}

// holds says whether v was given every word.
func (v *viewer) holds(w permit.Words) bool { return v.rules.Holds(w) }

// still brings what v may do up to date, and says whether v may stay: a reload may have taken its
// token away, or its time may be over. Whoever answers for longer than a moment asks again and
// again. It takes no time.
func (v *viewer) still() bool {
	rules, ok := v.standing()
	if !ok {
		return false
	}
	v.rules = rules
	v.payloads, v.operator = v.open, v.open
	if v.identity != "" || rules != nil {
		v.payloads = v.open || rules.Holds(permit.Message)
		v.operator = v.open || rules.Holds(permit.Admin)
	}
	return true
}

// handler answers who is known.
type handler = func(http.ResponseWriter, *http.Request, *viewer)

// seen lets a request pass of who holds the words, to look at something.
func (s *Server) seen(w permit.Words, h handler) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		private(out)
		v := s.identify(out, r)
		switch {
		case v == nil:
		case !v.holds(w):
			answerError(out, http.StatusForbidden, forbidden, "this needs words of a role (system)",
				"needs", strings.Join(w.Names(), " "))
		default:
			h(out, r, v)
		}
	}
}

// actBytes bounds the body of what changes the node.
const actBytes = 64 << 10

// acted lets a request pass of who may change the node.
func (s *Server) acted(h handler) http.HandlerFunc {
	return s.posted(h, func(out http.ResponseWriter, v *viewer) bool {
		switch {
		case v.operator:
			return true
		case v.stranger():
			answerStranger(out)
		default:
			answerError(out, http.StatusForbidden, forbidden,
				"this needs the word admin of a role (system)", "needs", "admin")
		}
		return false
	})
}

// sent lets a request pass of who may send messages: what becomes of them is for the node to say.
func (s *Server) sent(h handler) http.HandlerFunc {
	return s.posted(h, func(out http.ResponseWriter, v *viewer) bool {
		if v.sends() {
			return true
		}
		answerStranger(out)
		return false
	})
}

// stranger says that v gave no credentials, and that the node does not tell people apart.
func (v *viewer) stranger() bool { return v.identity == "" && v.rules == nil }

// sends says whether v may send messages, as far as this listener is concerned.
func (v *viewer) sends() bool { return v.identity != "" || v.open }

func answerStranger(out http.ResponseWriter) {
	answerError(out, http.StatusForbidden, forbidden,
		"this listener changes nothing without authentication: admin.operator")
}

// posted lets a request pass that may says so of, and of no web page but the node's own: a browser
// adds an Origin to what a page posts, and sends no application/json for a form. may answers when
// it does not.
func (s *Server) posted(h handler, may func(http.ResponseWriter, *viewer) bool) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		private(out)
		if page := r.Header.Get("Origin"); page != "" && !ownPage(page, r.Host) {
			answerError(out, http.StatusForbidden, forbidden,
				"web pages of others may not ask for this", "reason", origin.BadOrigin)
			return
		}
		if !s.mayCall(r) {
			answerHost(out)
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
			kind != "application/json" {
			answerError(out, http.StatusUnsupportedMediaType, invalid, "send application/json")
			return
		}
		if v := s.identify(out, r); v != nil && may(out, v) && takes(out, r) {
			r.Body = http.MaxBytesReader(out, r.Body, actBytes)
			h(out, r, v)
		}
	}
}

// acts writes the log line of what somebody has done to the node.
func (s *Server) acts(v *viewer, what string, attrs ...any) {
	who := v.identity
	if who == "" {
		who = v.remote
	}
	attrs = append([]any{"identity", v.identity, "remote", v.remote}, attrs...)
	s.log.Info(what+": "+who, attrs...)
}

// identify returns who asks; nil when that is nobody who may, which was answered.
func (s *Server) identify(out http.ResponseWriter, r *http.Request) *viewer {
	token, given := tokenOf(r)
	if !given {
		return s.anonymous(out, r)
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	identity, standing, left, err := s.desk.Identify(token, from.Addr().Unmap())
	if err != nil {
		answerUnauthorized(out, err.Error(), left)
		return nil
	}
	v := &viewer{identity: identity, remote: r.RemoteAddr, standing: standing}
	if !v.still() { // a reload has come between
		answerUnauthorized(out, "revoked", 0)
		return nil
	}
	return v
}

// anonymous is identify for who gives no credentials: on a loopback address, to look, unless
// admin.operator allows more.
func (s *Server) anonymous(out http.ResponseWriter, r *http.Request) *viewer {
	v := &viewer{remote: r.RemoteAddr, standing: s.desk.Anonymous, open: s.open}
	switch {
	case !v.still():
		answerUnauthorized(out, "required", 0)
	case !s.loopback && !s.open:
		answerError(out, http.StatusForbidden, forbidden, "without credentials this is shown on a "+
			"loopback address only: configure auth, or admin.operator")
	case !s.mayCall(r):
		answerHost(out)
	default:
		return v
	}
	return nil
}

// tokenOf returns the token of a request, and whether there is one: of the ways of protocol §10
// that are not a WebSocket's the first that is used counts. One that cannot be valid is "".
func tokenOf(r *http.Request) (token string, given bool) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return bounded(strings.TrimSpace(value)), true
	}
	if query := r.URL.Query(); query.Has("access_token") {
		return bounded(query.Get("access_token")), true
	}
	return "", false
}

// tokenBytes is how many a token may have in a handshake (protocol §10).
const tokenBytes = 4 << 10

// bounded returns a token, "" when it is longer than it may be.
func bounded(token string) string {
	if len(token) > tokenBytes {
		return ""
	}
	return token
}

// mayCall says whether the node may be called by the name that a request calls it by: a loopback
// name, one it was given, or the address that the request has come to. Any other may have been
// rebound, and to the browser the page is of the same origin as the node.
func (s *Server) mayCall(r *http.Request) bool {
	if r.Host == "" || s.names.Check("", r.Host, true) == "" {
		return true
	}
	name, ok := origin.Host(r.Host)
	at, is := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !is {
		return false
	}
	called, err := netip.ParseAddr(name)
	return err == nil && called == at.AddrPort().Addr().Unmap()
}

// ownPage says whether an Origin is that of the page which a host of this name serves, by whatever
// scheme: a balancer may speak TLS.
func ownPage(page, host string) bool {
	scheme, _, _ := strings.Cut(page, "://")
	got, _, ok := origin.Page(page)
	own, _, is := origin.Page(scheme + "://" + host)
	return ok && is && got == own
}
