package observe

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Export is what the admin listener's /metrics tells.
type Export struct {
	NodeID string             // of the node whose listener it is
	Values map[string]float64 // of metrics without labels
}

// Names of what is read of it.
const (
	LargestBacklog = "mb_connection_backlog_max_bytes" // of one connection
	Slow           = "mb_connections_slow"             // sockets that take nothing
	Unread         = "mb_connections_unread"           // that the node does not read for now
	sentMessages   = "mb_messages_sent_total"
	sentBytes      = "mb_sent_bytes_total"
)

// exportBytes bounds what is read of an answer; a node's has some 30 KB.
const exportBytes = 4 << 20

// exportClient keeps no connection: it asks rarely, and mostly this machine.
var exportClient = &http.Client{
	Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
}

// ReadExport asks the admin listener at address, "host:port".
func ReadExport(ctx context.Context, address string) (Export, error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return Export{}, fmt.Errorf("admin listener: %w", err)
	}
	answer, err := exportClient.Do(ask)
	if err != nil {
		return Export{}, fmt.Errorf("admin listener: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Export{}, fmt.Errorf("admin listener at %s: %s", address, answer.Status)
	}
	return parseExport(io.LimitReader(answer.Body, exportBytes))
}

// parseExport reads the Prometheus text format as far as it is of use here: "name value" lines,
// and the node's ID among the labels of mb_info.
func parseExport(r io.Reader) (Export, error) {
	e := Export{Values: make(map[string]float64)}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if about, ok := strings.CutPrefix(line, "mb_info{"); ok {
			_, id, _ := strings.Cut(about, `node="`)
			e.NodeID, _, _ = strings.Cut(id, `"`)
			continue
		}
		name, value, ok := strings.Cut(line, " ")
		if !ok || strings.ContainsAny(name, "#{") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			e.Values[name] = v
		}
	}
	if err := lines.Err(); err != nil {
		return Export{}, fmt.Errorf("admin listener: %w", err)
	}
	return e, nil
}

// AskDrain asks the node whose admin listener is at address, "host:port", to be drained, rate
// connections a second (0: as it is configured), or to end that; token says who asks, "": nobody in
// particular. It returns what the node then is, in one word.
func AskDrain(
	ctx context.Context, address, token string, rate int, cancel bool,
) (string, error) {
	body := "{}"
	switch {
	case cancel:
		body = `{"cancel":true}`
	case rate > 0:
		body = fmt.Sprintf(`{"rate":%d}`, rate)
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/drain",
		strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("admin listener: %w", err)
	}
	ask.Header.Set("Content-Type", "application/json")
	if token != "" {
		ask.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := exportClient.Do(ask)
	if err != nil {
		return "", fmt.Errorf("admin listener: %w", err)
	}
	defer answer.Body.Close()
	says, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return "", fmt.Errorf("admin listener: %w", err)
	}
	text := strings.TrimSpace(string(says))
	if answer.StatusCode >= http.StatusBadRequest {
		return "", fmt.Errorf("admin listener at %s: %s: %s", address, answer.Status,
			messageOf(says))
	}
	return text, nil
}

// messageOf is the sentence of an error of the admin listener, or all that it says.
func messageOf(answer []byte) string {
	var e struct{ Error struct{ Message string } }
	if json.Unmarshal(answer, &e) == nil && e.Error.Message != "" {
		return e.Error.Message
	}
	return strings.TrimSpace(string(answer))
}
