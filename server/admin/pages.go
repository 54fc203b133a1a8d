package admin

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"mbserver/server/admin/console"
	"mbserver/server/permit"
	"mbserver/server/system"
)

// pageRow is a line of the page at /.
type pageRow struct{ path, says string }

var pageRows = []pageRow{
	{"/livez", "200 while the loops turn, 503 otherwise"},
	{"/readyz", "200 while the node takes new connections, 503 otherwise"},
	{"/clusterz", "the nodes of the cluster, as JSON"},
	{"/metrics", "numbers, in the Prometheus text format"},
	{"/troublez", "what is wrong now, since when, why, and what to do"},
	{"/eventz", "?id=: the last events of a connection, of one that has left too"},
	{"/connz", "connections: ?search= &state= &sort= &order= &limit= &offset=; /connz/ID: one"},
	{"/servicez", "services, with the same parameters, and &name="},
	{"/topicz", "patterns below ?prefix=, &flat=true &search= &after=; ?pattern= &action=: who"},
	{"/loopz", "the loops"},
	{"/configz", "each key's value, who has set it, and what takes effect at the next start"},
	{"/whoamiz", "who asks, and what that may see and do here"},
	{"/explainz", "?requestId= what became of a message; ?topic= &action= what would"},
	{"/publish", `POST {"topic","payload"} publishes a message`},
	{"/request", `POST {"topic","payload","timeoutMs"?} sends a request: its answer`},
	{"/drain", `POST {"rate":n} drains the node, {"cancel":true} ends that`},
	{"/kick", `POST {"serviceId","reason"?} closes a connection`},
	{"/mute", `POST {"serviceId","durationMs"} lets it send nothing for a while, 0 ends that`},
	{"/unsubscribe", `POST {"serviceId","topic","action"?} ends subscriptions`},
}

var pprofRow = pageRow{"/debug/pprof/", "profiles of the process (admin.pprof)"}

// routes says who answers what. A pattern with GET takes HEAD too, and another method is answered
// 405.
func (s *Server) routes(profiles bool) http.Handler {
	mux := http.NewServeMux()
	rows := pageRows
	mux.HandleFunc("GET /metrics", s.serveMetrics)
	mux.HandleFunc("GET /troublez",
		s.seen(permit.Metrics, taking(s.serveTroubles, "limit", "kind")))
	mux.HandleFunc("GET /eventz",
		s.seen(permit.Connection|permit.ServiceList, taking(s.serveEvents, "id")))
	const names = permit.ServiceList
	mux.HandleFunc("GET /connz", s.seen(permit.Connection|names, s.serveConnections))
	mux.HandleFunc("GET /connz/{id}", s.seen(permit.Connection|names, s.serveConnection))
	mux.HandleFunc("GET /servicez", s.seen(names, s.serveServices))
	mux.HandleFunc("GET /topicz", s.seen(permit.TopicList, s.serveTopics))
	mux.HandleFunc("GET /loopz", s.seen(permit.Metrics, s.serveLoops))
	mux.HandleFunc("GET /configz",
		s.seen(permit.Connection|permit.Metrics, s.serveConfiguration))
	mux.HandleFunc("GET /clusterz", s.seen(permit.Connection, taking(s.serveCluster)))
	mux.HandleFunc("GET /whoamiz", s.seen(0, taking(s.serveWhoAmI)))
	mux.HandleFunc("GET /explainz", s.seen(permit.Explain, taking(s.serveExplain,
		"requestId", "topic", "action", "identity", "payloadBytes")))
	mux.HandleFunc("GET /console/{name...}", s.serveFile)
	mux.HandleFunc("POST /publish", s.sent(s.servePublish))
	mux.HandleFunc("POST /request", s.sent(s.serveRequest))
	mux.HandleFunc("POST /drain", s.acted(s.serveDrain))
	mux.HandleFunc("POST /kick", s.acted(s.serveOrder(system.Kick)))
	mux.HandleFunc("POST /mute", s.acted(s.serveOrder(system.Mute)))
	mux.HandleFunc("POST /unsubscribe", s.acted(s.serveOrder(system.Unsubscribe)))
	mux.HandleFunc("GET /livez", answerProbe(s.node.Live))
	mux.HandleFunc("GET /readyz", answerProbe(s.node.Ready))
	if s.source != nil {
		rows = append(rows[:len(rows):len(rows)], streamRows...)
		s.routeStreams(mux)
	}
	if profiles {
		rows = append(rows[:len(rows):len(rows)], pprofRow)
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		// pprof.Cmdline is left out: settings on the command line may be secret.
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s.serveIndex(w, r, rows)
	})
	return mux
}

// called lets a request pass that calls the node by a name it has (protocol §10, as handshakes):
// on a loopback address a web page whose name was rebound could read all there is. Who sends no
// Host is no browser.
func (s *Server) called(next http.Handler) http.Handler {
	if !s.loopback {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && s.names.Check("", r.Host, true) != "" {
			answerPlain(w, http.StatusForbidden,
				"this node may not be called by this name: admin.hosts, ws.hosts")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serveIndex shows the console to a browser, and says to all others what there is.
func (s *Server) serveIndex(w http.ResponseWriter, r *http.Request, rows []pageRow) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		console.Serve(w, r, "index.html")
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "MB Server Node %s, node %s\n", s.about.Version, s.about.NodeID)
	for _, row := range rows {
		fmt.Fprintf(&b, "%-17s %s\n", row.path, row.says)
	}
	w.Header().Set("Vary", "Accept")
	answerPlain(w, http.StatusOK, strings.TrimSuffix(b.String(), "\n"))
}

// serveFile answers with a file of the console.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	if !console.Serve(w, r, r.PathValue("name")) {
		answerPlain(w, http.StatusNotFound, "404 page not found")
	}
}

// answerProbe answers with what ask says: 200 while it is so, and a word.
func answerProbe(ask func() (bool, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		is, word := ask()
		status := http.StatusOK
		if !is {
			status = http.StatusServiceUnavailable
		}
		answerPlain(w, status, word)
	}
}
