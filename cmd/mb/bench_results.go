package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mbserver/bench"
)

func (a *app) benchCompare() *cobra.Command {
	var limit float64
	cmd := &cobra.Command{
		Use:   "compare OLD.json NEW.json",
		Short: "Compare two results",
		Long: "Compare two results: a difference counts when a Mann-Whitney U-test finds it with " +
			"95 % confidence, which takes four\n" +
			"repetitions on each side at least. With --max-worse the exit code is 1 when a " +
			"figure got worse by more than that.",
		Args: cobra.ExactArgs(2),
		RunE: work(func(_ context.Context, args []string) error {
			older, err := readResults(args[0])
			if err != nil {
				return err
			}
			newer, err := readResults(args[1])
			if err != nil {
				return err
			}
			all := bench.Compare(older, newer)
			if len(all) == 0 {
				return errors.New("the two runs have no figure in common")
			}
			if err := a.showComparison(all); err != nil {
				return err
			}
			return a.worse(all, limit)
		}),
	}
	cmd.Flags().Float64Var(&limit, "max-worse", 0,
		"fail when a figure got worse by more than `PERCENT` (0: never)")
	return cmd
}

// differenceRow is a difference as --json has it; old and new are medians.
type differenceRow struct {
	Scenario  string        `json:"scenario"`
	Target    string        `json:"target"`
	Transport string        `json:"transport"`
	Payload   int           `json:"payload"` // bytes
	Metric    string        `json:"metric"`
	Unit      string        `json:"unit"`
	Old       float64       `json:"old"`
	New       float64       `json:"new"`
	Change    float64       `json:"change"` // as a fraction of the old one
	P         float64       `json:"p"`
	Verdict   bench.Verdict `json:"verdict"`
	Warnings  []string      `json:"warnings,omitempty"`
}

func (a *app) showComparison(all []bench.Difference) error {
	if !a.json {
		return bench.WriteComparison(a.stdout, all)
	}
	rows := make([]differenceRow, len(all))
	for i, d := range all {
		n := d.New
		rows[i] = differenceRow{
			Scenario: n.Scenario, Target: n.Target, Transport: n.Transport, Payload: n.Payload,
			Metric: n.Metric, Unit: n.Unit, Old: d.Old.Median(), New: n.Median(),
			Change: d.Delta, P: d.P, Verdict: d.Verdict, Warnings: d.Warnings,
		}
	}
	return objects(a, rows)
}

func (a *app) worse(all []bench.Difference, limit float64) error {
	if limit <= 0 {
		return nil
	}
	count := 0
	for _, d := range all {
		if d.Verdict == bench.Worse && (100*d.Delta > limit || -100*d.Delta > limit) {
			count++
		}
	}
	if count > 0 {
		return fmt.Errorf("%d figures got worse by more than %g %%", count, limit)
	}
	return nil
}

func (a *app) benchReport() *cobra.Command {
	var out, metric, svg string
	cmd := &cobra.Command{
		Use:   "report RESULTS.json",
		Short: "Make a page with plots of results",
		Args:  cobra.ExactArgs(1),
		RunE: work(func(_ context.Context, args []string) error {
			r, err := readResults(args[0])
			if err != nil {
				return err
			}
			if svg != "" {
				draw := func(w io.Writer) error { return r.WriteSVG(w, metric) }
				if err := toFile(svg, draw); err != nil {
					return err
				}
			}
			if out == "-" {
				return r.WriteHTML(a.stdout)
			}
			if err := toFile(out, r.WriteHTML); err != nil {
				return err
			}
			a.notice("written: %s", out)
			return nil
		}),
	}
	f := cmd.Flags()
	f.StringVarP(&out, "out", "o", "bench.html", "`FILE` to write (- is standard output)")
	f.StringVar(&svg, "svg", "", "write the plot of one metric to `FILE` too")
	f.StringVar(&metric, "metric", "server CPU", "`NAME` of the metric for --svg, as in the tables")
	return cmd
}

func readResults(path string) (*bench.Results, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := bench.ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
