package main

import "runtime"

// processors is how many the process may use.
func processors() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }

// setProcs returns how many loops the node runs, and lets the scheduler run twice as many threads:
// with one thread per loop a loop that sleeps in the kernel keeps its processor from the goroutines
// beside it, and the round trip of a lone message more than doubles. A GOMAXPROCS in the
// environment is the operator's choice and stays. loops 0 means as many as the processors the
// process may use.
func setProcs(loops int, environ []string) int {
	if loops == 0 {
		loops = processors()
	}
	if !isSet(environ, "GOMAXPROCS") {
		runtime.GOMAXPROCS(2 * loops)
	}
	return loops
}
