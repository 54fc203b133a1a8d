package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mbserver/server/config"
)

// wordsOf is a set of words by its number.
func wordsOf(set int) (words []string) {
	for i, w := range []string{"connection", "metrics", "service.list", "topic.list", "admin"} {
		if set&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return words
}

// Nobody sees what his words do not allow: on no path, in no column, by no search, in no order.
func TestWordsRuleWhatIsSeen(t *testing.T) {
	const secretTopic, secretName, identity = "hidden.topic", "hidden-name", "Hidden-Identity"
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Auth.LockoutThreshold = 0
		cfg.Permissions.Roles = config.Roles{"all": {
			Subscribe: config.Lists{Allow: []string{"#"}}, System: []string{"*"}}}
		know := func(who, token, role string) {
			sum := sha256.Sum256([]byte(token))
			cfg.Auth.Tokens = append(cfg.Auth.Tokens, config.Token{
				Identity: who, SHA256: hex.EncodeToString(sum[:]), Roles: []string{role}})
		}
		know(identity, "client", "all")
		for set := range 1 << 5 {
			name := fmt.Sprint("set", set)
			cfg.Permissions.Roles[name] = config.Role{System: wordsOf(set)}
			know(name, name, name)
		}
	})
	c := n.dial()
	c.ok("system.auth", `{"token":"client"}`)
	c.ok("system.service.register", `{"name":"`+secretName+`","description":"d"}`)
	c.subscribe("publish", secretTopic)
	paths := map[string][]string{ // and the words that they need
		"/connz": {"connection", "service.list"}, "/connz/" + c.id: {"connection", "service.list"},
		"/servicez": {"service.list"}, "/topicz": {"topic.list"},
		"/topicz?pattern=" + secretTopic: {"topic.list"}, "/loopz": {"metrics"},
		"/configz": {"connection", "metrics"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		set := rapid.IntRange(0, 1<<5-1).Draw(rt, "set")
		held := map[string]bool{}
		for _, w := range wordsOf(set) {
			held[w] = true
		}
		path := rapid.SampledFrom(keysOf(paths)).Draw(rt, "path")
		may := true
		for _, w := range paths[path] {
			may = may && held[w]
		}
		query := url.Values{}
		if !strings.Contains(path, "?") && !strings.HasPrefix(path, "/connz/") {
			query.Set("sort", rapid.SampledFrom([]string{
				"", "identity", "remote", "sent", "name", "dropped", "backlogBytes",
			}).Draw(rt, "sort"))
			query.Set("search", rapid.SampledFrom([]string{
				"", "hidden", "identity", "127.0.0", secretName,
			}).Draw(rt, "search"))
			path += "?" + query.Encode()
		}
		status, answer := n.see(fmt.Sprint("set", set), path)
		text := fmt.Sprint(answer)
		if !may && status != http.StatusForbidden || may && status == http.StatusForbidden {
			rt.Fatalf("%v asks for %s: %d %s", wordsOf(set), path, status, text)
		}
		for hidden, word := range map[string]string{
			secretTopic: "topic.list", secretName: "service.list", c.id: "service.list",
			identity: "connection", c.conn.LocalAddr().String(): "connection",
			"sentBytes": "connection",
		} {
			if hidden == c.id && strings.HasPrefix(path, "/topicz") && held["topic.list"] {
				continue // as system.topic.subscriptions, which needs no other word
			}
			if hidden == "sentBytes" && status == http.StatusBadRequest {
				continue
			}
			if strings.Contains(text, hidden) && !held[word] {
				rt.Fatalf("%v see %s at %s: %s", wordsOf(set), hidden, path, text)
			}
		}
		if strings.HasPrefix(path, "/servicez") && may && !held["connection"] {
			wantHidden(rt, query, status, answer)
		}
	})
}

// wantHidden holds an answer of /servicez to what who may not see addresses, identities and
// backlogs cannot find out either by what he sorts by or searches for.
func wantHidden(rt *rapid.T, query url.Values, status int, answer map[string]any) {
	by, search := query.Get("sort"), query.Get("search")
	hidden := by != "" && by != "name"
	if hidden != (status == http.StatusBadRequest) {
		rt.Fatalf("sorted by %s: %d", by, status)
	}
	if (search == "identity" || search == "127.0.0") && !hidden && answer["matched"] != 0.0 {
		rt.Fatalf("found by %s: %v", search, answer)
	}
}

// keysOf is the keys of a map, in order.
func keysOf(m map[string][]string) []string { return slices.Sorted(maps.Keys(m)) }
