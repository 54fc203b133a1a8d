package main

import (
	"context"
	"errors"
	"math"
	"os"

	"github.com/spf13/cobra"

	"mbserver/bench"
)

// benchGuard is what make bench-guard ends with.
func (a *app) benchGuard() *cobra.Command {
	var path string
	var renew bool
	cmd := &cobra.Command{
		Use:   "guard BENCHMARKS.txt RESULTS.json...",
		Short: "Hold figures to their limits",
		Long: "Hold figures to their limits: micro-benchmarks (the output of go test -bench) to " +
			"multiples of a yardstick among\n" +
			"them, scenarios to multiples of the floor and of one loop. The exit code is 1 when " +
			"one is past the limits' noise band.",
		Args: cobra.MinimumNArgs(2),
		RunE: work(func(_ context.Context, args []string) error {
			return a.guard(path, renew, args[0], args[1:])
		}),
	}
	cmd.Flags().StringVar(&path, "limits", "bench/guard.json", "`FILE` of the limits")
	cmd.Flags().BoolVar(&renew, "renew", false, "set the limits to what was measured")
	return cmd
}

func (a *app) guard(path string, renew bool, benchmarks string, results []string) error {
	limits, err := readLimits(path)
	if err != nil {
		return err
	}
	macro := &bench.Results{}
	for _, file := range results {
		r, err := readResults(file)
		if err != nil {
			return err
		}
		macro.Measures = append(macro.Measures, r.Measures...)
	}
	micro, err := os.Open(benchmarks)
	if err != nil {
		return err
	}
	defer micro.Close()
	held, err := limits.Check(micro, macro)
	if err != nil {
		return err
	}
	if err := a.showHeld(limits, held); err != nil {
		return err
	}
	if renew {
		limits.Renew(held)
		return toFile(path, limits.Write)
	}
	for _, h := range held {
		if h.Exceeded {
			return errors.New("a limit is exceeded: measure again on a quiet machine, " +
				"then look for the cause")
		}
	}
	return nil
}

// heldRow is a figure and its limit as --json has them; ratio is null when it
// was not measured.
type heldRow struct {
	Name     string   `json:"name"`
	Ratio    *float64 `json:"ratio"`
	Expected float64  `json:"expected,omitempty"`
	Most     float64  `json:"atMost"`
	Exceeded bool     `json:"exceeded"` // or not measured
}

func (a *app) showHeld(limits *bench.Limits, held []bench.Held) error {
	if !a.json {
		return limits.WriteHeld(a.stdout, held)
	}
	rows := make([]heldRow, len(held))
	for i, h := range held {
		rows[i] = heldRow{Name: h.Name, Expected: h.Limit, Most: h.Most, Exceeded: h.Exceeded}
		if !math.IsNaN(h.Ratio) {
			rows[i].Ratio = &held[i].Ratio
		}
	}
	return objects(a, rows)
}

func readLimits(path string) (*bench.Limits, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bench.ReadLimits(f)
}
