package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"mbserver/server/origin"
)

// Codes of errors: those of protocol §7.
const (
	unauthorized = "UNAUTHORIZED"
	forbidden    = "FORBIDDEN"
	invalid      = "INVALID_REQUEST"
	unavailable  = "SERVICE_UNAVAILABLE"
	notFound     = "NOT_FOUND" // of this listener alone
	conflict     = "CONFLICT"  // of this listener alone
)

// readObject reads one JSON object, and says whether there is that and nothing else, with no
// members that are not known.
func readObject(r io.Reader, into any) bool {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	return d.Decode(into) == nil && d.Decode(&struct{}{}) == io.EOF
}

// private says of an answer that nobody else is to have it.
func private(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // a token may stand in the address
}

// answerJSON answers with v, which always marshals.
func answerJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("admin: " + err.Error())
	}
	private(w)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// answerBytes answers with JSON that has been written already, its newline included.
func answerBytes(w http.ResponseWriter, b []byte) {
	private(w)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(b)
}

// failure is the body of an error.
type failure struct {
	Error struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Details map[string]any `json:"details,omitempty"`
	} `json:"error"`
}

// answerError answers with an error: its code, a sentence, and details, each a name and a value.
func answerError(w http.ResponseWriter, status int, code, message string, details ...any) {
	var f failure
	f.Error.Code, f.Error.Message = code, message
	for ; len(details) >= 2; details = details[2:] {
		if f.Error.Details == nil {
			f.Error.Details = make(map[string]any)
		}
		f.Error.Details[details[0].(string)] = details[1]
	}
	answerJSON(w, status, &f)
}

// answerUnauthorized refuses credentials for a reason of protocol §10; left is for how long their
// address is locked out.
func answerUnauthorized(w http.ResponseWriter, reason string, left time.Duration) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	switch reason {
	case "required":
		answerError(w, http.StatusUnauthorized, unauthorized,
			"give credentials: Authorization: Bearer", "reason", reason)
	case "locked_out":
		seconds := (left + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		answerError(w, http.StatusTooManyRequests, unauthorized,
			"too many wrong tokens came from this address", "reason", reason,
			"retryAfterMs", left.Milliseconds())
	default:
		answerError(w, http.StatusUnauthorized, unauthorized, "this token is not valid",
			"reason", reason)
	}
}

// answerHost refuses a request that calls the node by a name that it does not know to be its own.
func answerHost(w http.ResponseWriter) {
	answerError(w, http.StatusForbidden, forbidden,
		"this node may not be called by this name: admin.hosts", "reason", origin.BadHost)
}

func answerPlain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
