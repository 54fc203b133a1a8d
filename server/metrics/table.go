package metrics

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
	Value  func(*Sample) float64
}

// Table is every metric of the node, in the order of the answers. docs/operations.md explains them.
var Table = []Metric{
	{"connection.active", Gauge, "mb_connections",
		func(s *Sample) float64 { return float64(s.Active) }},
	{"connection.connected.rate", Rate, "",
		func(s *Sample) float64 { return float64(s.Connected.Rate) }},
	{"connection.connected.total", Gauge, "mb_connections_opened_total",
		func(s *Sample) float64 { return float64(s.Connected.Total) }},
	{"connection.disconnected.rate", Rate, "",
		func(s *Sample) float64 { return float64(s.Disconnected.Rate) }},
	{"connection.disconnected.total", Gauge, "mb_connections_closed_total",
		func(s *Sample) float64 { return float64(s.Disconnected.Total) }},
	{"connection.failed.rate", Rate, "", func(s *Sample) float64 { return float64(s.Failed.Rate) }},
	{"connection.failed.total", Gauge, "mb_connections_failed_total",
		func(s *Sample) float64 { return float64(s.Failed.Total) }},
	{"connection.rejected.rate", Rate, "",
		func(s *Sample) float64 { return float64(s.Rejected.Rate) }},
	{"connection.rejected.total", Gauge, "mb_connections_rejected_total",
		func(s *Sample) float64 { return float64(s.Rejected.Total) }},
	{"connection.outbound.dropped.count", Gauge, "mb_deliveries_dropped_total", totalOf(Dropped)},
	{"connection.outbound.dropped.rate", Rate, "", rateOf(Dropped)},

	{"process.cpu.percent", Percent, "mb_process_cpu_ratio",
		func(s *Sample) float64 { return s.Machine.processCPU }},
	{"process.memory.bytes", Gauge, "mb_process_memory_bytes",
		func(s *Sample) float64 { return s.Machine.processMemory }},
	{"process.memory.percent", Percent, "mb_process_memory_ratio",
		func(s *Sample) float64 { return s.Machine.processMemoryPercent }},
	{"process.uptime", Uptime, "mb_process_uptime_seconds",
		func(s *Sample) float64 { return s.Machine.processUptime }},
	{"system.cpu.percent", Percent, "mb_system_cpu_ratio",
		func(s *Sample) float64 { return s.Machine.systemCPU }},
	{"system.memory.bytes", Gauge, "mb_system_memory_bytes",
		func(s *Sample) float64 { return s.Machine.systemMemory }},
	{"system.memory.percent", Percent, "mb_system_memory_ratio",
		func(s *Sample) float64 { return s.Machine.systemMemoryPercent }},
	{"system.uptime", Uptime, "mb_system_uptime_seconds",
		func(s *Sample) float64 { return s.Machine.systemUptime }},

	{"registry.count", Gauge, "mb_services",
		func(s *Sample) float64 { return float64(s.Services) }},
	{"registry.discovery.rate", Rate, "", rateOf(Discoveries)},
	{"registry.registration.rate", Rate, "", rateOf(Registrations)},
	{"registry.unregistration.rate", Rate, "", rateOf(Unregistrations)},
	{"", "", "mb_registry_discoveries_total", totalOf(Discoveries)},
	{"", "", "mb_registry_registrations_total", totalOf(Registrations)},
	{"", "", "mb_registry_unregistrations_total", totalOf(Unregistrations)},

	{"router.message.count", Gauge, "mb_messages_received_total", totalOf(Messages)},
	{"router.message.rate", Rate, "", rateOf(Messages)},
	{"router.message.count.error", Gauge, "mb_message_errors_total", totalOf(MessageErrors)},
	{"router.message.rate.error", Rate, "", rateOf(MessageErrors)},
	{"router.message.size.avg", Average, "", func(s *Sample) float64 {
		return float64(s.Totals[MessageBytes]) / float64(max(s.Totals[Messages], 1))
	}},
	{"router.message.size.max", Maximum, "mb_message_max_bytes", totalOf(MaxMessageBytes)},
	{"", "", "mb_messages_received_bytes_total", totalOf(MessageBytes)},
	{"", "", "mb_messages_sent_total", totalOf(Sent)},

	{"router.publish.count", Gauge, "mb_publishes_total", totalOf(Publishes)},
	{"router.publish.count.dropped", Gauge, "mb_publishes_unrouted_total",
		totalOf(PublishesUnrouted)},
	{"router.publish.count.error", Gauge, "mb_publish_errors_total", totalOf(PublishErrors)},
	{"router.publish.rate", Rate, "", rateOf(Publishes)},
	{"router.publish.rate.dropped", Rate, "", rateOf(PublishesUnrouted)},
	{"router.publish.rate.error", Rate, "", rateOf(PublishErrors)},

	{"router.request.count", Gauge, "mb_requests_total", totalOf(Requests)},
	{"router.request.count.dropped", Gauge, "mb_requests_unrouted_total",
		totalOf(RequestsUnrouted)},
	{"router.request.count.error", Gauge, "mb_request_errors_total", totalOf(RequestErrors)},
	{"router.request.count.timeout", Gauge, "mb_request_timeouts_total", totalOf(RequestTimeouts)},
	{"router.request.rate", Rate, "", rateOf(Requests)},
	{"router.request.rate.dropped", Rate, "", rateOf(RequestsUnrouted)},
	{"router.request.rate.error", Rate, "", rateOf(RequestErrors)},
	{"router.request.rate.timeout", Rate, "", rateOf(RequestTimeouts)},
	{"router.request.outstanding", Gauge, "mb_requests_outstanding",
		func(s *Sample) float64 { return float64(s.Outstanding) }},
	{"router.request.queued", Gauge, "mb_requests_queued",
		func(s *Sample) float64 { return float64(s.Queued) }},

	{"router.response.count", Gauge, "mb_responses_total", totalOf(Responses)},
	{"router.response.count.error", Gauge, "mb_response_errors_total", totalOf(ResponseErrors)},
	{"router.response.rate", Rate, "", rateOf(Responses)},
	{"router.response.rate.error", Rate, "", rateOf(ResponseErrors)},

	{"router.limited.count", Gauge, "mb_messages_limited_total", totalOf(Limited)},
	{"router.limited.rate", Rate, "", rateOf(Limited)},

	{"", "", "mb_deliveries_conflated_total", totalOf(Conflated)},
	{"", "", "mb_publishers_paused", func(s *Sample) float64 { return float64(s.Paused) }},
	{"", "", "mb_connections_owing", func(s *Sample) float64 { return float64(s.Owing) }},
	{"", "", "mb_connections_filling", func(s *Sample) float64 { return float64(s.Filling) }},
	{"", "", "mb_connections_stalled_total",
		func(s *Sample) float64 { return float64(s.Stalled) }},
	{"", "", "mb_publisher_pauses_total", totalOf(Pauses)},
	{"", "", "mb_memory_charged_bytes", func(s *Sample) float64 { return float64(s.Charged) }},
	{"", "", "mb_connections_shed_total", func(s *Sample) float64 { return float64(s.Shed) }},
	{"", "", "mb_snapshots_total", func(s *Sample) float64 { return float64(s.Snapshots) }},
	{"", "", "mb_subscriptions", func(s *Sample) float64 { return float64(s.Subscriptions) }},
	{"", "", "mb_faults_total", totalOf(Panics)},
	{"", "", "mb_log_lines_dropped_total",
		func(s *Sample) float64 { return float64(s.LogDropped) }},
	{"", "", "mb_log_lines_lost_total", func(s *Sample) float64 { return float64(s.LogLost) }},
	{"", "", "mb_log_stream_lines_dropped_total",
		func(s *Sample) float64 { return float64(s.LogUnread) }},
}

func totalOf(counter int) func(*Sample) float64 {
	return func(s *Sample) float64 { return float64(s.Totals[counter]) }
}

func rateOf(counter int) func(*Sample) float64 {
	return func(s *Sample) float64 { return float64(s.Rates[counter]) }
}
