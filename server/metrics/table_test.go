package metrics

import (
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
)

// wantMetrics is the contract's list (protocol §8), written out.
const wantMetrics = `
connection.active gauge
connection.connected.rate rate
connection.connected.total gauge
connection.disconnected.rate rate
connection.disconnected.total gauge
connection.failed.rate rate
connection.failed.total gauge
connection.outbound.dropped.count gauge
connection.outbound.dropped.rate rate
connection.rejected.rate rate
connection.rejected.total gauge
process.cpu.percent percent
process.memory.bytes gauge
process.memory.percent percent
process.uptime uptime
registry.count gauge
registry.discovery.rate rate
registry.registration.rate rate
registry.unregistration.rate rate
router.limited.count gauge
router.limited.rate rate
router.message.count gauge
router.message.count.error gauge
router.message.rate rate
router.message.rate.error rate
router.message.size.avg average
router.message.size.max maximum
router.publish.count gauge
router.publish.count.dropped gauge
router.publish.count.error gauge
router.publish.rate rate
router.publish.rate.dropped rate
router.publish.rate.error rate
router.request.count gauge
router.request.count.dropped gauge
router.request.count.error gauge
router.request.count.timeout gauge
router.request.outstanding gauge
router.request.queued gauge
router.request.rate rate
router.request.rate.dropped rate
router.request.rate.error rate
router.request.rate.timeout rate
router.response.count gauge
router.response.count.error gauge
router.response.rate rate
router.response.rate.error rate
system.cpu.percent percent
system.memory.bytes gauge
system.memory.percent percent
system.uptime uptime
`

func TestMetricTable(t *testing.T) {
	var got []string
	exports := map[string]bool{}
	for _, m := range Table {
		if m.Name != "" {
			got = append(got, m.Name+" "+m.Kind)
		}
		if m.Export != "" {
			if exports[m.Export] || m.Help == "" {
				t.Errorf("%q is there twice, or means nothing", m.Export)
			}
			exports[m.Export] = true
		}
	}
	sort.Strings(got)
	if want := strings.Split(strings.TrimSpace(wantMetrics), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// The page for operators has every name of system.metrics, each with its row. That it has all of
// /metrics is held where there is a page to compare with (server/admin_pages_test.go).
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range Table {
		if m.Name == "" {
			continue
		}
		row := regexp.MustCompile("(?m)^\\| [^|]*`" + regexp.QuoteMeta(m.Name) + "`[^|]* \\| (.*)$")
		found := row.FindAllStringSubmatch(string(page), -1)
		if len(found) != 1 || m.Export != "" && !strings.HasPrefix(found[0][1], "`"+m.Export+"`") {
			t.Errorf("docs/metrics.md has %q for %s", found, m.Name)
		}
	}
}
