// Command overload measures what overload costs those who did not cause it, as ratios within one
// run:
//
//	go run ./bench/overload -server bin/mb-server [-run staller,service,flood,limits,crowd]
//
//	staller   one of many subscribers stops reading: the others' latency, the server's memory
//	service   a service stalls under a steady load of requests and comes back: late deliveries,
//	          time to recover
//	flood     one caller sends ten times what a service takes: another caller's latency
//	crowd     thousands of connections come at once: what others' heartbeats notice
//	limits    the server's CPU time per message with every limit on (and far away) against all off
//
// The server runs on core 0 with one loop; the generator is one thread on core 1 that never sleeps
// while it measures, with open loops: a latency counts from the time at which a message was due to
// be sent.
package main
