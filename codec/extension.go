package codec

import (
	"strconv"
	"strings"
)

// deflateAnswer is what a server answers to an offer of permessage-deflate: each message is
// compressed by itself, whichever way it goes (RFC 7692 §7.1.1).
const deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// AgreeDeflate accepts the first offer of permessage-deflate that this server can keep to, and
// notes that in the response; it says whether there was one. Once.
func (h *Handshake) AgreeDeflate() bool {
	answer := negotiateDeflate(h.Extensions)
	if answer == "" {
		return false
	}
	const end = "\r\n"
	h.Response = append(h.Response[:len(h.Response)-len(end)],
		"Sec-WebSocket-Extensions: "+answer+end+end...)
	return true
}

// negotiateDeflate returns the answer to the first acceptable offer in a list of extensions (RFC
// 6455 §9.1), empty when there is none. Where the list cannot be read, it ends.
func negotiateDeflate(offers string) (answer string) {
	s := extensionList{text: offers}
	for s.next() {
		if s.name != "permessage-deflate" {
			continue
		}
		if bits, ok := acceptDeflate(s.params); ok {
			if bits {
				return deflateAnswer + "; server_max_window_bits=15"
			}
			return deflateAnswer
		}
	}
	return ""
}

// acceptDeflate judges the parameters of an offer (RFC 7692 §7.1): a server "MUST decline" one with
// a parameter that is not defined there, has an invalid value or comes twice. bits says that the
// answer has to name the size of the window.
func acceptDeflate(params []extensionParam) (bits, ok bool) {
	seen := make(map[string]bool, len(params))
	for _, p := range params {
		if seen[p.name] {
			return false, false
		}
		seen[p.name] = true
		switch p.name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if p.hasValue { // §7.1.1: "no value"
				return false, false
			}
		case "server_max_window_bits":
			// §7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15". This
			// server's window is what it is.
			if p.value != "15" {
				return false, false
			}
			bits = true
		case "client_max_window_bits":
			// §7.1.2.2: the same, or no value. The answer need not use it: any window is taken.
			if p.hasValue && !windowBits(p.value) {
				return false, false
			}
		default:
			return false, false
		}
	}
	return bits, true
}

func windowBits(value string) bool {
	n, err := strconv.Atoi(value)
	return err == nil && 8 <= n && n <= 15 && strconv.Itoa(n) == value
}

// extensionList reads the value of Sec-WebSocket-Extensions (RFC 6455 §9.1), one extension after
// the other.
type extensionList struct {
	text   string // what is left
	name   string
	params []extensionParam
}

type extensionParam struct {
	name, value string
	hasValue    bool
}

// next goes to the next extension. false: there is none, or what comes is none.
func (s *extensionList) next() bool {
	for s.eat(',') { // empty list elements (RFC 9110 §5.6.1)
	}
	name, ok := s.token()
	if !ok {
		return false
	}
	s.name, s.params = name, s.params[:0]
	for s.eat(';') {
		p, ok := s.param()
		if !ok {
			return false
		}
		s.params = append(s.params, p)
	}
	return s.text == "" || s.eat(',')
}

// param reads what follows a semicolon.
func (s *extensionList) param() (p extensionParam, ok bool) {
	if p.name, ok = s.token(); !ok || !s.eat('=') {
		return p, ok
	}
	p.hasValue = true
	if !strings.HasPrefix(s.text, `"`) {
		p.value, ok = s.token()
		return p, ok
	}
	p.value, ok = s.quoted()
	return p, ok
}

// eat takes one character and the spaces around it.
func (s *extensionList) eat(c byte) bool {
	s.text = strings.TrimLeft(s.text, " \t")
	if s.text == "" || s.text[0] != c {
		return false
	}
	s.text = strings.TrimLeft(s.text[1:], " \t")
	return true
}

func (s *extensionList) token() (string, bool) {
	end := 0
	for end < len(s.text) && isTokenChar(s.text[end]) {
		end++
	}
	token := s.text[:end]
	s.text = strings.TrimLeft(s.text[end:], " \t")
	return token, end > 0
}

// quoted reads a quoted string whose content is a token (RFC 6455 §9.1).
func (s *extensionList) quoted() (string, bool) {
	var b []byte
	for i := 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.text = strings.TrimLeft(s.text[i+1:], " \t")
			return string(b), len(b) > 0
		case c == '\\' && i+1 < len(s.text):
			i++
			b = append(b, s.text[i])
		default:
			b = append(b, c)
		}
		if !isTokenChar(b[len(b)-1]) {
			return "", false
		}
	}
	return "", false
}
