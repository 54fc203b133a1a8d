// Command loopback measures what a node costs on this machine: the server's CPU time per delivered message for one
// publisher and 1 to 1000 TCP subscribers, and its resident memory per idle connection.
//
//	go run ./bench/loopback -server bin/mb-server
//
// It starts the server pinned to one core (one loop, GOMAXPROCS=1) and pins itself to another. Its own work is kept small:
// subscribers only count bytes, since all frames of a run have the same length. The figure is the server's CPU time as the
// scheduler counts it (/proc/PID/task/*/schedstat), divided by the messages its subscribers received.
package main
