package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"mbserver/server/origin"
)

// parseListText reads a list from text: its elements between commas, or as a JSON array.
func (k *Key) parseListText(s string) (any, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		n, err := parseDocument([]byte(s))
		if err == nil && n != nil && n.Kind == yaml.SequenceNode {
			return k.parseList(n)
		}
	}
	var all []string
	for text := range strings.SplitSeq(s, ",") {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, text)
		}
	}
	return k.list(all)
}

// parseList reads a list of the file; one element may stand alone.
func (k *Key) parseList(n *yaml.Node) (any, error) {
	if n.Kind == yaml.ScalarNode {
		return k.parseListText(n.Value)
	}
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("must be a list, and is %s", describe(n))
	}
	var all []string
	for _, e := range n.Content {
		if e = resolve(e); e.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("an element must be text, and is %s", describe(e))
		}
		all = append(all, strings.TrimSpace(e.Value))
	}
	return k.list(all)
}

// list brings elements to their canonical form; what stands there twice is there once.
func (k *Key) list(all []string) ([]string, error) {
	if len(all) > maxList {
		return nil, fmt.Errorf("more than %d elements", maxList)
	}
	var list []string
	for _, text := range all {
		e, err := k.element(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", show(text), err)
		}
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list, nil
}

// checkList checks a list that did not come through the parser.
func (k *Key) checkList(list []string) error {
	canonical, err := k.list(list)
	if err == nil && !slices.Equal(canonical, list) {
		err = fmt.Errorf("not in its canonical form, which is %s", listText(canonical))
	}
	return err
}

// listText is a list on one line, as YAML and JSON.
func listText(list []string) string {
	quoted := make([]string, len(list))
	for i, e := range list {
		quoted[i] = quote(e)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// pageOrigin is an element of ws.origins.
func pageOrigin(s string) (string, error) {
	if s == origin.Any || strings.EqualFold(s, origin.Null) {
		return strings.ToLower(s), nil
	}
	page, _, ok := origin.Page(s)
	switch _, rest, is := strings.Cut(s, "://"); {
	case ok:
		return page, nil
	case is && strings.ContainsAny(rest, "/?#"):
		return "", errors.New("an origin has no path: write it as https://app.example")
	case is && strings.Contains(rest, "*"):
		return "", errors.New("write each origin, or * alone for all")
	}
	return "", errors.New("no origin: write it as https://app.example, or null, or *")
}

// hostName is an element of ws.hosts. An address of IPv6 needs no brackets here.
func hostName(s string) (string, error) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err == nil && a.Zone() == "" {
		return a.Unmap().String(), nil
	}
	name, ok := origin.Host(s)
	if !ok || strings.Contains(s, ":") {
		return "", errors.New("neither a host name nor an address; it has no port here")
	}
	return name, nil
}

// trustedNetwork is an element of proxy.trusted.
func trustedNetwork(s string) (string, error) {
	p, ok := origin.ParseNetwork(s)
	if !ok {
		return "", errors.New("no network: write it as 10.0.0.0/8, or as one address")
	}
	return p.String(), nil
}

// prefixes makes networks of their canonical texts.
func prefixes(list []string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func prefixTexts(all []netip.Prefix) (list []string) {
	for _, p := range all {
		list = append(list, p.String())
	}
	return list
}

// listenerWord is the word of one listener.
type listenerWord struct {
	listener string
	word     *string
}

// each are the words of p.
func (p *ProxyProtocol) each() []listenerWord {
	return []listenerWord{{"ws", &p.WS}, {"wss", &p.WSS}, {"tcp", &p.TCP}, {"tls", &p.TLS}}
}

// parseEachText reads one word for all listeners, or a JSON object: {"ws":"off"}.
func (k *Key) parseEachText(s string) (any, error) {
	if strings.HasPrefix(strings.TrimSpace(s), "{") {
		if n, err := parseDocument([]byte(s)); err == nil && n != nil {
			return k.parseEach(n)
		}
	}
	word, err := k.parseWord(strings.TrimSpace(s))
	if err != nil {
		return nil, err
	}
	w := word.(string)
	return ProxyProtocol{w, w, w, w}, nil
}

// parseEach reads a word, or a map of listener to word; whom that leaves out keeps the default.
func (k *Key) parseEach(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return k.parseEachText(n.Value)
	case yaml.MappingNode:
	default:
		return nil, fmt.Errorf("must be a word or a map, and is %s", describe(n))
	}
	p := ProxyProtocol{k.Default, k.Default, k.Default, k.Default}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, resolve(n.Content[i+1])
		at := slices.IndexFunc(p.each(), func(e listenerWord) bool { return e.listener == name })
		if at < 0 {
			return nil, fmt.Errorf("%s is none of ws, wss, tcp, tls", show(name))
		}
		word, err := k.parseWord(strings.TrimSpace(value.Value))
		if value.Kind != yaml.ScalarNode || err != nil {
			return nil, fmt.Errorf("%s: %s: must be one of %s", name, describe(value),
				strings.Join(k.values, ", "))
		}
		*p.each()[at].word = word.(string)
	}
	return p, nil
}

// eachText is one word when all listeners have the same, else a map on one line.
func eachText(p ProxyProtocol) string {
	if p == (ProxyProtocol{p.WS, p.WS, p.WS, p.WS}) {
		return quote(p.WS)
	}
	var b strings.Builder
	for i, e := range p.each() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %s", e.listener, quote(*e.word))
	}
	return "{" + b.String() + "}"
}

// checkEach checks words that did not come through the parser.
func (k *Key) checkEach(p ProxyProtocol) error {
	for _, e := range p.each() {
		if !slices.Contains(k.values, *e.word) {
			return fmt.Errorf("%s: must be one of %s", e.listener, strings.Join(k.values, ", "))
		}
	}
	return nil
}
