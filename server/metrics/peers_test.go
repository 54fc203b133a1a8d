package metrics

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What a cluster has at /metrics stands in its page.
func TestClusterTableIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range ClusterTable {
		row := fmt.Sprintf("| `%s` with label `%s` | %s | %s |\n",
			f.Export, f.Label, f.Type, f.Help)
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/cluster.md has no line %s", row)
		}
	}
	s := Sample{Cluster: Cluster{Peers: []Peer{{Name: "a", State: "live"}, {Name: "b"}}}}
	if v := ClusterTable[0].Values(&s); len(v) != 2 || v[0].Value != 1 || v[1].Value != 0 ||
		v[1].Label != "b" {
		t.Errorf("live: %v", v)
	}
}
