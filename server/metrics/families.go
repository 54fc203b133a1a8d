package metrics

// Family is what /metrics says of the numbers that share a name.
type Family struct {
	Export string // their name
	Type   string // "counter", "gauge", "summary" or "histogram"
	Help   string // what they mean, there and in docs/metrics.md
}

// Labelled is a family of numbers that differ in one label.
type Labelled struct {
	Family
	Label  string
	Values func(*Sample) []LabelledValue
}

// LabelledValue is one of them.
type LabelledValue struct {
	Label string // its value
	Value float64
}

// LabelledTable is every family of the node with a label, but for Info.
var LabelledTable = []Labelled{
	{Family{"mb_system_core_cpu_ratio", "gauge",
		"CPU time of one core, since the reading before"}, "core",
		func(s *Sample) (values []LabelledValue) {
			for _, c := range s.Machine.Cores {
				values = append(values, LabelledValue{c.Name, c.CPU})
			}
			return values
		}},
	{Family{"mb_connections_by_transport", "gauge",
		"connections that became services and are not closed, of a transport: tcp, ws, tls, wss"},
		"transport",
		func(s *Sample) []LabelledValue {
			return []LabelledValue{
				{"tcp", float64(s.Totals[OpenTCP])}, {"ws", float64(s.Totals[OpenWS])},
				{"tls", float64(s.Totals[OpenTLS])}, {"wss", float64(s.Totals[OpenWSS])},
			}
		}},
	{Family{"mb_connections_refused_total", "counter",
		"arrivals that were refused, by reason: that of the answer " +
			"(docs/protocol.md, 4), which the log has too"}, "reason",
		func(s *Sample) []LabelledValue { return s.Refused }},
	{Family{"mb_tls_handshakes_failed_total", "counter",
		"TLS handshakes that came to nothing, by reason: ended (the client went away, or was cut " +
			"at the end of the node), late (connection.handshakeTimeout), gave_way (to newer " +
			"ones), not_tls, no_agreement (on a version, cipher, curve or protocol), " +
			"client_certificate (missing, or not to be trusted), refused (by the client), other"},
		"reason",
		func(s *Sample) (values []LabelledValue) {
			for i, name := range tlsFailureNames {
				values = append(values, LabelledValue{name, float64(s.TLS.Failed[i])})
			}
			return values
		}},
}

// Info tells what runs, in its labels version and node.
var Info = Family{"mb_info", "gauge", "always 1"}

// Timed is a histogram of the node's.
type Timed struct {
	Family
	Time int // an index of Times
}

// TimedTable is every histogram of the node.
var TimedTable = []Timed{
	{Family{"mb_turn_seconds", "histogram",
		"turns of the loops: from the first event to the last write. Who asks something waits " +
			"for the turn that runs"}, TurnTime},
	{Family{"mb_publish_flush_seconds", "histogram",
		"from the turn in which a publish came in to the end of the writes to its subscribers; " +
			"counted once for each loop that has some. What their sockets do not take at once " +
			"is not waited for"}, FlushTime},
	{Family{"mb_request_answer_seconds", "histogram",
		"from the turn in which a request came in to the write of its service's answer. " +
			"Requests that end otherwise are not in it"}, AnswerTime},
}

// Runtime is what /metrics has of the Go runtime and of the process, as far as the library that
// reads them knows them on this system. It knows more than is of use, and not everything under
// proper names.
var Runtime = []Family{
	{"go_gc_cpu_seconds_total", "counter", "CPU time of the garbage collector"},
	{"go_gc_duration_seconds", "summary", "pauses of all goroutines for garbage collection"},
	{"go_gomaxprocs", "gauge", "threads that run Go code at the same time"},
	{"go_goroutines", "gauge", "goroutines"},
	{"go_info", "gauge", "always 1; label version: Go's"},
	{"go_memlimit_bytes", "gauge", "memory at which the collector works harder"},
	{"go_memstats_alloc_bytes", "gauge", "memory of live and not yet collected objects"},
	{"go_memstats_alloc_bytes_total", "counter", "memory that was ever allocated for objects"},
	{"go_memstats_frees_total", "counter", "objects that were collected"},
	{"go_memstats_gc_sys_bytes", "gauge", "memory of the collector's own"},
	{"go_memstats_heap_idle_bytes", "gauge", "heap without objects"},
	{"go_memstats_heap_inuse_bytes", "gauge", "heap in spans with objects"},
	{"go_memstats_heap_objects", "gauge", "objects, live and not yet collected"},
	{"go_memstats_heap_released_bytes", "gauge", "heap given back to the system"},
	{"go_memstats_heap_sys_bytes", "gauge", "heap obtained from the system"},
	{"go_memstats_last_gc_time_seconds", "gauge", "when the collector last ended, Unix time"},
	{"go_memstats_mallocs_total", "counter", "objects that were allocated"},
	{"go_memstats_next_gc_bytes", "gauge", "heap at which the collector begins"},
	{"go_memstats_stack_inuse_bytes", "gauge", "memory of goroutines' stacks"},
	{"go_memstats_sys_bytes", "gauge", "memory obtained from the system, of all kinds"},
	{"go_mutex_wait_seconds_total", "counter", "time that goroutines waited for locks"},
	{"go_threads", "gauge", "threads that were created"},
	{"process_cpu_seconds_total", "counter", "CPU time of the process"},
	{"process_io_read_bytes_total", "counter", "bytes that the process read by system calls"},
	{"process_io_read_syscalls_total", "counter", "system calls of the process that read"},
	{"process_io_write_syscalls_total", "counter", "system calls of the process that write"},
	{"process_io_written_bytes_total", "counter", "bytes that the process wrote by system calls"},
	{"process_major_pagefaults_total", "counter", "page faults that needed the disk"},
	{"process_minor_pagefaults_total", "counter", "page faults that needed no disk"},
	{"process_num_threads", "gauge", "threads of the process"},
	{"process_resident_memory_anon_bytes", "gauge", "resident memory that no file backs"},
	{"process_resident_memory_bytes", "gauge", "resident memory of the process"},
	{"process_resident_memory_peak_bytes", "gauge", "the most resident memory it ever had"},
	{"process_start_time_seconds", "gauge", "when the process started, Unix time"},
	{"process_virtual_memory_bytes", "gauge", "address space of the process"},
}
