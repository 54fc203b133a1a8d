package server

// Kinds of metrics, as system.metrics names them (protocol §8).
const (
	kindGauge   = "gauge"
	kindRate    = "rate"    // per second, over the last whole second
	kindPercent = "percent" // a fraction of 0 to 1
	kindAverage = "average"
	kindMaximum = "maximum"
	kindUptime  = "uptime" // seconds
)

// metric is one number of the node. The ones of a single service or core are not in the table: see sample.appendMetrics.
type metric struct {
	name   string // in system.metrics; empty: not there
	kind   string
	export string // at /metrics; empty: not there, because it can be computed of what is. "_total" makes it a counter
	value  func(*sample) float64
}

// metricTable is every metric of the node, in the order of the answers. docs/operations.md explains them.
var metricTable = []metric{
	{"connection.active", kindGauge, "mb_connections", func(s *sample) float64 { return float64(s.active) }},
	{"connection.connected.rate", kindRate, "", func(s *sample) float64 { return float64(s.connected.rate) }},
	{"connection.connected.total", kindGauge, "mb_connections_opened_total", func(s *sample) float64 { return float64(s.connected.total) }},
	{"connection.disconnected.rate", kindRate, "", func(s *sample) float64 { return float64(s.disconnected.rate) }},
	{"connection.disconnected.total", kindGauge, "mb_connections_closed_total", func(s *sample) float64 { return float64(s.disconnected.total) }},
	{"connection.failed.rate", kindRate, "", func(s *sample) float64 { return float64(s.failed.rate) }},
	{"connection.failed.total", kindGauge, "mb_connections_failed_total", func(s *sample) float64 { return float64(s.failed.total) }},
	{"connection.rejected.rate", kindRate, "", func(s *sample) float64 { return float64(s.rejected.rate) }},
	{"connection.rejected.total", kindGauge, "mb_connections_rejected_total", func(s *sample) float64 { return float64(s.rejected.total) }},
	{"connection.outbound.dropped.count", kindGauge, "mb_deliveries_dropped_total", totalOf(countOutboundDropped)},
	{"connection.outbound.dropped.rate", kindRate, "", rateOf(countOutboundDropped)},

	{"process.cpu.percent", kindPercent, "mb_process_cpu_ratio", func(s *sample) float64 { return s.machine.processCPU }},
	{"process.memory.bytes", kindGauge, "mb_process_memory_bytes", func(s *sample) float64 { return s.machine.processMemory }},
	{"process.memory.percent", kindPercent, "mb_process_memory_ratio", func(s *sample) float64 { return s.machine.processMemoryPercent }},
	{"process.uptime", kindUptime, "mb_process_uptime_seconds", func(s *sample) float64 { return s.machine.processUptime }},
	{"system.cpu.percent", kindPercent, "mb_system_cpu_ratio", func(s *sample) float64 { return s.machine.systemCPU }},
	{"system.memory.bytes", kindGauge, "mb_system_memory_bytes", func(s *sample) float64 { return s.machine.systemMemory }},
	{"system.memory.percent", kindPercent, "mb_system_memory_ratio", func(s *sample) float64 { return s.machine.systemMemoryPercent }},
	{"system.uptime", kindUptime, "mb_system_uptime_seconds", func(s *sample) float64 { return s.machine.systemUptime }},

	{"registry.count", kindGauge, "mb_services", func(s *sample) float64 { return float64(s.services) }},
	{"registry.discovery.rate", kindRate, "", rateOf(countDiscovery)},
	{"registry.registration.rate", kindRate, "", rateOf(countRegistration)},
	{"registry.unregistration.rate", kindRate, "", rateOf(countUnregistration)},
	{"", "", "mb_registry_discoveries_total", totalOf(countDiscovery)},
	{"", "", "mb_registry_registrations_total", totalOf(countRegistration)},
	{"", "", "mb_registry_unregistrations_total", totalOf(countUnregistration)},

	{"router.message.count", kindGauge, "mb_messages_received_total", totalOf(countMessage)},
	{"router.message.rate", kindRate, "", rateOf(countMessage)},
	{"router.message.count.error", kindGauge, "mb_message_errors_total", totalOf(countMessageError)},
	{"router.message.rate.error", kindRate, "", rateOf(countMessageError)},
	{"router.message.size.avg", kindAverage, "", func(s *sample) float64 {
		return float64(s.totals[countMessageBytes]) / float64(max(s.totals[countMessage], 1))
	}},
	{"router.message.size.max", kindMaximum, "mb_message_max_bytes", totalOf(maxMessageBytes)},
	{"", "", "mb_messages_received_bytes_total", totalOf(countMessageBytes)},
	{"", "", "mb_messages_sent_total", totalOf(countSent)},

	{"router.publish.count", kindGauge, "mb_publishes_total", totalOf(countPublish)},
	{"router.publish.count.dropped", kindGauge, "mb_publishes_unrouted_total", totalOf(countPublishUnrouted)},
	{"router.publish.count.error", kindGauge, "mb_publish_errors_total", totalOf(countPublishError)},
	{"router.publish.rate", kindRate, "", rateOf(countPublish)},
	{"router.publish.rate.dropped", kindRate, "", rateOf(countPublishUnrouted)},
	{"router.publish.rate.error", kindRate, "", rateOf(countPublishError)},

	{"router.request.count", kindGauge, "mb_requests_total", totalOf(countRequest)},
	{"router.request.count.dropped", kindGauge, "mb_requests_unrouted_total", totalOf(countRequestUnrouted)},
	{"router.request.count.error", kindGauge, "mb_request_errors_total", totalOf(countRequestError)},
	{"router.request.count.timeout", kindGauge, "mb_request_timeouts_total", totalOf(countRequestTimeout)},
	{"router.request.rate", kindRate, "", rateOf(countRequest)},
	{"router.request.rate.dropped", kindRate, "", rateOf(countRequestUnrouted)},
	{"router.request.rate.error", kindRate, "", rateOf(countRequestError)},
	{"router.request.rate.timeout", kindRate, "", rateOf(countRequestTimeout)},
	{"router.request.outstanding", kindGauge, "mb_requests_outstanding", func(s *sample) float64 { return float64(s.outstanding) }},
	{"router.request.queued", kindGauge, "mb_requests_queued", func(s *sample) float64 { return float64(s.queued) }},

	{"router.response.count", kindGauge, "mb_responses_total", totalOf(countResponse)},
	{"router.response.count.error", kindGauge, "mb_response_errors_total", totalOf(countResponseError)},
	{"router.response.rate", kindRate, "", rateOf(countResponse)},
	{"router.response.rate.error", kindRate, "", rateOf(countResponseError)},

	{"router.limited.count", kindGauge, "mb_messages_limited_total", totalOf(countLimited)},
	{"router.limited.rate", kindRate, "", rateOf(countLimited)},

	{"", "", "mb_deliveries_conflated_total", totalOf(countConflated)},
	{"", "", "mb_publishers_paused", func(s *sample) float64 { return float64(s.paused) }},
	{"", "", "mb_publisher_pauses_total", totalOf(countPaused)},
	{"", "", "mb_memory_charged_bytes", func(s *sample) float64 { return float64(s.charged) }},
	{"", "", "mb_connections_shed_total", func(s *sample) float64 { return float64(s.shed) }},
	{"", "", "mb_subscriptions", func(s *sample) float64 { return float64(s.subscriptions) }},
	{"", "", "mb_faults_total", totalOf(countFault)},
	{"", "", "mb_log_lines_dropped_total", func(s *sample) float64 { return float64(s.logDropped) }},
}

func totalOf(counter int) func(*sample) float64 {
	return func(s *sample) float64 { return float64(s.totals[counter]) }
}

func rateOf(counter int) func(*sample) float64 {
	return func(s *sample) float64 { return float64(s.rates[counter]) }
}
