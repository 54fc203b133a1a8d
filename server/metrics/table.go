package metrics

import "strings"

// Kinds of metrics, as system.metrics names them (protocol §8).
const (
	Gauge   = "gauge"
	Rate    = "rate"    // per second, over the last whole second
	Percent = "percent" // a fraction of 0 to 1
	Average = "average"
	Maximum = "maximum"
	Uptime  = "uptime" // seconds
)

// Metric is one number of the node. The ones of a single service or core are not in the table: see
// Writer.Write.
type Metric struct {
	Name string // in system.metrics; empty: not there
	Kind string
	// Export is the name at /metrics; empty: not there, because it can be computed of what is.
	// "_total" makes it a counter.
	Export string
	Help   string // what it means, there and in docs/metrics.md
	Value  func(*Sample) float64
}

// Type is what the metric is at /metrics: "counter" or "gauge".
func (m *Metric) Type() string {
	if strings.HasSuffix(m.Export, "_total") {
		return "counter"
	}
	return "gauge"
}

// Table is every metric of the node that is one number, in the order of the answers.
var Table = []Metric{
	{"connection.active", Gauge, "mb_connections",
		"connections that passed their handshake, those about to close included",
		func(s *Sample) float64 { return float64(s.Active) }},
	{"connection.connected.rate", Rate, "", "",
		func(s *Sample) float64 { return float64(s.Connected.Rate) }},
	{"connection.connected.total", Gauge, "mb_connections_opened_total",
		"connections that became services",
		func(s *Sample) float64 { return float64(s.Connected.Total) }},
	{"connection.disconnected.rate", Rate, "", "",
		func(s *Sample) float64 { return float64(s.Disconnected.Rate) }},
	{"connection.disconnected.total", Gauge, "mb_connections_closed_total",
		"services that left, for whatever reason",
		func(s *Sample) float64 { return float64(s.Disconnected.Total) }},
	{"connection.failed.rate", Rate, "", "",
		func(s *Sample) float64 { return float64(s.Failed.Rate) }},
	{"connection.failed.total", Gauge, "mb_connections_failed_total",
		"arrivals that failed in their handshake, and failed accepts",
		func(s *Sample) float64 { return float64(s.Failed.Total) }},
	{"connection.rejected.rate", Rate, "", "",
		func(s *Sample) float64 { return float64(s.Rejected.Rate) }},
	{"connection.rejected.total", Gauge, "mb_connections_rejected_total",
		"arrivals that were refused: for a limit, their credentials or their origin",
		func(s *Sample) float64 { return float64(s.Rejected.Total) }},
	{"connection.outbound.dropped.count", Gauge, "mb_deliveries_dropped_total",
		"deliveries that subscribers did not get: those that were too slow, which are told by " +
			"system.dropped, and what waited for a connection, answers too, when it ended",
		totalOf(Dropped)},
	{"connection.outbound.dropped.rate", Rate, "", "", rateOf(Dropped)},

	{"process.cpu.percent", Percent, "mb_process_cpu_ratio",
		"CPU time of the process, of all cores together, since the reading before (at least " +
			"1 s; at first since its start)",
		func(s *Sample) float64 { return s.Machine.processCPU }},
	{"process.memory.bytes", Gauge, "mb_process_memory_bytes", "resident memory of the process",
		func(s *Sample) float64 { return s.Machine.processMemory }},
	{"process.memory.percent", Percent, "mb_process_memory_ratio",
		"resident memory of the process, of the machine's memory",
		func(s *Sample) float64 { return s.Machine.processMemoryPercent }},
	{"process.uptime", Uptime, "mb_process_uptime_seconds", "age of the process",
		func(s *Sample) float64 { return s.Machine.processUptime }},
	{"system.cpu.percent", Percent, "mb_system_cpu_ratio",
		"CPU time of the whole machine, since the reading before (at least 1 s; at first since " +
			"its boot)",
		func(s *Sample) float64 { return s.Machine.systemCPU }},
	{"system.memory.bytes", Gauge, "mb_system_memory_bytes", "the machine's memory in use",
		func(s *Sample) float64 { return s.Machine.systemMemory }},
	{"system.memory.percent", Percent, "mb_system_memory_ratio",
		"the machine's memory in use, of all its memory",
		func(s *Sample) float64 { return s.Machine.systemMemoryPercent }},
	{"system.uptime", Uptime, "mb_system_uptime_seconds", "time since the machine's boot",
		func(s *Sample) float64 { return s.Machine.systemUptime }},

	{"", "", "mb_cluster_island",
		"1: NATS does not answer this node, or another one has its name: it goes on alone. 0 " +
			"otherwise, and without a cluster",
		func(s *Sample) float64 {
			if s.Cluster.Island {
				return 1
			}
			return 0
		}},

	{"registry.count", Gauge, "mb_services", "connected services",
		func(s *Sample) float64 { return float64(s.Services) }},
	{"registry.discovery.rate", Rate, "", "", rateOf(Discoveries)},
	{"registry.registration.rate", Rate, "", "", rateOf(Registrations)},
	{"registry.unregistration.rate", Rate, "", "", rateOf(Unregistrations)},
	{"", "", "mb_registry_discoveries_total", "requests of system.service.list",
		totalOf(Discoveries)},
	{"", "", "mb_registry_registrations_total",
		"registrations: one for each connection, one for each system.service.register",
		totalOf(Registrations)},
	{"", "", "mb_registry_unregistrations_total", "services removed", totalOf(Unregistrations)},

	{"router.message.count", Gauge, "mb_messages_received_total",
		"messages that arrived, the malformed included", totalOf(Messages)},
	{"router.message.rate", Rate, "", "", rateOf(Messages)},
	{"router.message.count.error", Gauge, "mb_message_errors_total",
		"errors that the node has answered, every single one", totalOf(MessageErrors)},
	{"router.message.rate.error", Rate, "", "", rateOf(MessageErrors)},
	{"router.message.size.avg", Average, "", "", func(s *Sample) float64 {
		return float64(s.Totals[MessageBytes]) / float64(max(s.Totals[Messages], 1))
	}},
	{"router.message.size.max", Maximum, "mb_message_max_bytes",
		"bytes of the largest message since the start, header included",
		totalOf(MaxMessageBytes)},
	{"", "", "mb_messages_received_bytes_total",
		"bytes of the messages that arrived, headers included; divide by " +
			"mb_messages_received_total",
		totalOf(MessageBytes)},
	{"", "", "mb_messages_sent_total", "messages handed to connections", totalOf(Sent)},

	{"router.publish.count", Gauge, "mb_publishes_total", "publishes", totalOf(Publishes)},
	{"router.publish.count.dropped", Gauge, "mb_publishes_unrouted_total",
		"publishes that nobody was subscribed to", totalOf(PublishesUnrouted)},
	{"router.publish.count.error", Gauge, "mb_publish_errors_total",
		"publishes answered with an error, other than that nobody was subscribed",
		totalOf(PublishErrors)},
	{"router.publish.rate", Rate, "", "", rateOf(Publishes)},
	{"router.publish.rate.dropped", Rate, "", "", rateOf(PublishesUnrouted)},
	{"router.publish.rate.error", Rate, "", "", rateOf(PublishErrors)},

	{"router.request.count", Gauge, "mb_requests_total",
		"requests, those of system topics included", totalOf(Requests)},
	{"router.request.count.dropped", Gauge, "mb_requests_evicted_total",
		"requests that gave way to newer ones because of max.outstanding.requests",
		totalOf(RequestsEvicted)},
	{"router.request.count.error", Gauge, "mb_request_errors_total",
		"requests that the node answered with an error: unrouted and evicted ones among them, " +
			"timeouts not", totalOf(RequestErrors)},
	{"router.request.count.timeout", Gauge, "mb_request_timeouts_total",
		"requests whose deadline came", totalOf(RequestTimeouts)},
	{"router.request.rate", Rate, "", "", rateOf(Requests)},
	{"router.request.rate.dropped", Rate, "", "", rateOf(RequestsEvicted)},
	{"router.request.rate.error", Rate, "", "", rateOf(RequestErrors)},
	{"router.request.rate.timeout", Rate, "", "", rateOf(RequestTimeouts)},
	{"", "", "mb_requests_unrouted_total",
		"requests that nobody serves", totalOf(RequestsUnrouted)},
	{"router.request.outstanding", Gauge, "mb_requests_outstanding",
		"requests delivered and not yet answered",
		func(s *Sample) float64 { return float64(s.Outstanding) }},
	{"router.request.queued", Gauge, "mb_requests_queued",
		"requests that wait for a service with room",
		func(s *Sample) float64 { return float64(s.Queued) }},

	{"", "", "mb_requests_across_total",
		"requests given to services of other nodes", totalOf(RequestsAcross)},
	{"", "", "mb_requests_foreign_total",
		"requests of other nodes given to services of this one", totalOf(RequestsForeign)},
	{"", "", "mb_requests_bounced_total",
		"requests that have come back from other nodes, whose services had no room after all",
		totalOf(RequestsBounced)},
	{"", "", "mb_requests_returned_total",
		"requests that went back to other nodes, because a service had no room",
		totalOf(RequestsReturned)},
	{"", "", "mb_requests_node_lost_total",
		"requests that failed because the node of their service was lost",
		totalOf(RequestsNodeLost)},
	{"", "", "mb_answers_unmatched_total",
		"words of other nodes of requests that are none, or not outstanding any more",
		totalOf(AnswersUnmatched)},
	{"", "", "mb_answers_unsent_total",
		"words of requests that did not leave for their node: too many waited, or NATS was away",
		totalOf(AnswersUnsent)},

	{"router.response.count", Gauge, "mb_responses_total", "responses that arrived",
		totalOf(Responses)},
	{"router.response.count.error", Gauge, "mb_response_errors_total",
		"responses that answered no outstanding request", totalOf(ResponseErrors)},
	{"router.response.rate", Rate, "", "", rateOf(Responses)},
	{"router.response.rate.error", Rate, "", "", rateOf(ResponseErrors)},

	{"router.limited.count", Gauge, "mb_messages_limited_total", "messages over a rate limit",
		totalOf(Limited)},
	{"router.limited.rate", Rate, "", "", rateOf(Limited)},
	{"", "", "mb_messages_forbidden_total", "messages and subscriptions that were not permitted",
		totalOf(Forbidden)},

	{"", "", "mb_draining",
		"1 while the node is drained, whether it will end or goes on, else 0",
		func(s *Sample) float64 {
			if s.Draining {
				return 1
			}
			return 0
		}},
	{"", "", "mb_drain_connections",
		"connections that were told to go, and have not yet",
		func(s *Sample) float64 { return float64(s.Going) }},
	{"", "", "mb_drain_cut_total",
		"connections of which something was outstanding when the time to drain was over",
		func(s *Sample) float64 { return float64(s.Cut) }},

	{"", "", "mb_subscriptions", "subscriptions of all services",
		func(s *Sample) float64 { return float64(s.Subscriptions) }},
	{"", "", "mb_route_targets",
		"subscribers in the routes that the loops remember, those of a route that many topics " +
			"share counted once",
		func(s *Sample) float64 { return float64(s.RouteTargets) }},
	{"", "", "mb_received_bytes_total", "bytes read from connections, framing included",
		totalOf(BytesRead)},
	{"", "", "mb_sent_bytes_total", "bytes that connections' sockets took, framing included",
		totalOf(BytesWritten)},
	{"", "", "mb_deliveries_conflated_total",
		"messages that a newer one of their topic replaced before a slow subscriber had read them",
		totalOf(Conflated)},
	{"", "", "mb_connections_slow",
		"connections whose sockets take nothing at the moment: what is for them waits",
		totalOf(Slow)},
	{"", "", "mb_connection_backlog_max_bytes",
		"bytes that one connection makes the node hold at the most: what waits for it, and what " +
			"of its own is incomplete or waits",
		totalOf(Backlog)},
	{"", "", "mb_connections_unread",
		"connections that are not read at the moment: publishers paused, owing or filling",
		totalOf(Unread)},
	{"", "", "mb_publishers_paused",
		"publishers that are not read until their subscribers have room, with " +
			"connection.backpressure: pause",
		func(s *Sample) float64 { return float64(s.Paused) }},
	{"", "", "mb_connections_arriving",
		"arrivals in the door: in their handshake, or being told why they may not enter",
		func(s *Sample) float64 { return float64(s.Arriving) }},
	{"", "", "mb_admission_waited_total",
		"arrivals that admission.rate had wait for their place in a listener's queue",
		func(s *Sample) float64 { return float64(s.Admission.Waited) }},
	{"", "", "mb_accept_pauses_total",
		"how often the door left arrivals waiting because a loop's turn took more than 20 ms",
		func(s *Sample) float64 { return float64(s.Admission.Pauses) }},
	{"", "", "mb_accept_paused_seconds_total", "how long it did, in all",
		func(s *Sample) float64 { return s.Admission.Paused.Seconds() }},
	{"", "", "mb_connections_owing",
		"connections that are not read until they have read their answers",
		func(s *Sample) float64 { return float64(s.Owing) }},
	{"", "", "mb_connections_filling",
		"connections that are not read because their messages fill another loop's inbox",
		func(s *Sample) float64 { return float64(s.Filling) }},
	{"", "", "mb_publisher_pauses_total", "how often a publisher was paused", totalOf(Pauses)},
	{"", "", "mb_connections_stalled_total",
		"connections closed because their peers took none of their answers for " +
			"connection.stallTimeout",
		func(s *Sample) float64 { return float64(s.Stalled) }},
	{"", "", "mb_memory_charged_bytes",
		"what clients make the node hold: 1 KiB for each connection, TLS sessions, what half " +
			"handshakes hold, rings, partial frames, what paused ones had sent, waiting " +
			"requests and publishes, all that waits in inboxes; subscriptions, profiles and log " +
			"filters; remembered routes; lists that somebody has not read yet",
		func(s *Sample) float64 { return float64(s.Charged) }},
	{"", "", "mb_loops", "loops of the node",
		func(s *Sample) float64 { return float64(s.Loops) }},
	{"", "", "mb_connections_limit",
		"connections that there may be: connection.max.concurrent, or fewer where there are not " +
			"descriptors enough",
		func(s *Sample) float64 { return float64(s.Limits.Connections) }},
	{"", "", "mb_requests_outstanding_limit",
		"requests that may be outstanding: max.outstanding.requests, or fewer where " +
			"memory.limit is small",
		func(s *Sample) float64 { return float64(s.Limits.Outstanding) }},
	{"", "", "mb_memory_limit_bytes", "memory.limit",
		func(s *Sample) float64 { return float64(s.Limits.Memory) }},
	{"", "", "mb_auth_failures_total",
		"wrong credentials that came, in handshakes and messages",
		func(s *Sample) float64 { return float64(s.AuthFailures) }},
	{"", "", "mb_tls_handshakes_total", "TLS handshakes that were completed",
		func(s *Sample) float64 { return float64(s.TLS.Done) }},
	{"", "", "mb_tls_handshakes_resumed_total",
		"TLS handshakes that went on with an earlier session",
		func(s *Sample) float64 { return float64(s.TLS.Resumed) }},
	{"", "", "mb_tls_certificate_expiry_timestamp_seconds",
		"when the certificate of wss and tls expires, Unix time; 0: there is none",
		func(s *Sample) float64 { return float64(s.TLS.Expiry) }},
	{"", "", "mb_connections_shed_total", "connections cut because memory.limit was near",
		func(s *Sample) float64 { return float64(s.Shed) }},
	{"", "", "mb_snapshots_total",
		"lists (services, topics, subscriptions, metrics of services) that were composed for " +
			"those who asked: one for all who ask within a second",
		func(s *Sample) float64 { return float64(s.Snapshots) }},
	{"", "", "mb_message_watches",
		"operators that look at messages as they pass (/stream/messages)",
		func(s *Sample) float64 { return float64(s.Watches) }},
	{"", "", "mb_faults_total",
		"faults of the node itself: each is logged at error and wants a report", totalOf(Panics)},
	{"", "", "mb_log_lines_dropped_total",
		"log lines lost because the log's output was too slow",
		func(s *Sample) float64 { return float64(s.LogDropped) }},
	{"", "", "mb_log_lines_lost_total", "log lines lost because the log's output failed",
		func(s *Sample) float64 { return float64(s.LogLost) }},
	{"", "", "mb_log_stream_lines_dropped_total",
		"log lines that readers of system.log did not get because there were more than their " +
			"expressions could be tried on",
		func(s *Sample) float64 { return float64(s.LogUnread) }},

	{"", "", "mb_connections_deflate", "connections that have agreed on permessage-deflate",
		func(s *Sample) float64 { return float64(s.Deflate.Connections) }},
	{"", "", "mb_deflate_messages_total",
		"messages that were compressed: one for all who get it, of each loop",
		deflateOf(func(d *DeflateSample) uint64 { return d.Out.Messages })},
	{"", "", "mb_deflate_plain_bytes_total",
		"bytes of those messages before; divide mb_deflate_compressed_bytes_total by it",
		deflateOf(func(d *DeflateSample) uint64 { return d.Out.Plain })},
	{"", "", "mb_deflate_compressed_bytes_total",
		"bytes of those messages after, framing not included",
		deflateOf(func(d *DeflateSample) uint64 { return d.Out.Compressed })},
	{"", "", "mb_deflate_kept_total",
		"messages that compressing did not make smaller, and that left as they were",
		deflateOf(func(d *DeflateSample) uint64 { return d.Kept })},
	{"", "", "mb_deflate_seconds_total",
		"CPU time of compressing; one of 16 is measured and stands for all",
		func(s *Sample) float64 { return float64(s.Deflate.Out.Ns) / 1e9 }},
	{"", "", "mb_inflate_messages_total", "compressed messages that arrived",
		deflateOf(func(d *DeflateSample) uint64 { return d.In.Messages })},
	{"", "", "mb_inflate_compressed_bytes_total",
		"bytes of those messages as they came, framing not included",
		deflateOf(func(d *DeflateSample) uint64 { return d.In.Compressed })},
	{"", "", "mb_inflate_plain_bytes_total", "bytes of those messages, inflated",
		deflateOf(func(d *DeflateSample) uint64 { return d.In.Plain })},
	{"", "", "mb_inflate_failures_total",
		"compressed messages that were none, were too large or no text: their connections were " +
			"closed",
		deflateOf(func(d *DeflateSample) uint64 { return d.Failed })},
	{"", "", "mb_inflate_seconds_total",
		"CPU time of inflating; one step of 16 is measured and stands for all",
		func(s *Sample) float64 { return float64(s.Deflate.In.Ns) / 1e9 }},

	{"", "", "process_open_fds", "open descriptors of the process",
		func(s *Sample) float64 { return s.Machine.openFiles }},
	{"", "", "process_max_fds", "descriptors that the process may have open",
		func(s *Sample) float64 { return s.Machine.filesLimit }},
}

func deflateOf(count func(*DeflateSample) uint64) func(*Sample) float64 {
	return func(s *Sample) float64 { return float64(count(&s.Deflate)) }
}

func totalOf(counter int) func(*Sample) float64 {
	return func(s *Sample) float64 { return float64(s.Totals[counter]) }
}

func rateOf(counter int) func(*Sample) float64 {
	return func(s *Sample) float64 { return float64(s.Rates[counter]) }
}
