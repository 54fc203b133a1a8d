package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// taking has h answer a request with no other parameters than these, each once: one that is
// misspelled asks for something else than was meant. Lists look for themselves.
func taking(h handler, names ...string) handler {
	return func(out http.ResponseWriter, r *http.Request, v *viewer) {
		if takes(out, r, names...) {
			h(out, r, v)
		}
	}
}

// takes says whether a request has no other parameters than these, each once, and a token; when it
// has, that was answered.
func takes(out http.ResponseWriter, r *http.Request, names ...string) bool {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		answerError(out, http.StatusBadRequest, invalid,
			"the parameters cannot be read: "+err.Error())
		return false
	}
	for name, values := range query {
		switch {
		case name == "access_token":
		case !slices.Contains(names, name):
			answerError(out, http.StatusBadRequest, invalid,
				strconv.Quote(name)+" is no parameter of this path", "field", name)
			return false
		case len(values) > 1:
			answerError(out, http.StatusBadRequest, invalid, name+" is given twice", "field", name)
			return false
		}
	}
	return true
}
