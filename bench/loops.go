package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// node is the target that is the node with one loop. With n of them it is a target of its own,
// called mb-n, so that both take turns and are compared as any two targets are.
const node = "mb"

func nodeWith(loops int) string {
	if loops == 1 {
		return node
	}
	return node + "-" + strconv.Itoa(loops)
}

// loopsOf returns how many loops the node has that a target is, 0 for other targets.
func loopsOf(target string) int {
	if target == node {
		return 1
	}
	count, ok := strings.CutPrefix(target, node+"-")
	if n, err := strconv.Atoi(count); ok && err == nil && n > 1 && nodeWith(n) == target {
		return n
	}
	return 0
}

// spread returns the targets with the node once for each number of loops.
func (o *Options) spread() []string {
	var all []string
	for _, t := range o.Targets {
		if t != node {
			all = append(all, t)
			continue
		}
		for _, n := range o.Loops {
			all = append(all, nodeWith(n))
		}
	}
	return all
}

func (o *Options) validateLoops() error {
	for i, n := range o.Loops {
		if n < 1 || n > maxLoops {
			return fmt.Errorf("%d loops: 1 to %d", n, maxLoops)
		}
		if slices.Contains(o.Loops[:i], n) {
			return fmt.Errorf("%d loops are named twice", n)
		}
	}
	switch {
	case len(o.Loops) == 0:
		return fmt.Errorf("no number of loops: 1 to %d", maxLoops)
	case o.Procs < 1 || o.Procs > maxProcs:
		return fmt.Errorf("GOMAXPROCS of %d: 1 to %d", o.Procs, maxProcs)
	case o.Address != nil && !slices.Equal(o.Loops, []int{1}):
		return fmt.Errorf("%v loops: a running node has those it was started with", o.Loops)
	}
	return nil
}
