package bench

import (
	"bytes"
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Colours that stay apart for colour-blind readers too (Okabe and Ito), and shapes for those that
// repeat.
var (
	colours = []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
		color.RGBA{0x00, 0x9e, 0x73, 0xff}, color.RGBA{0xcc, 0x79, 0xa7, 0xff},
		color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff},
		color.RGBA{0x55, 0x55, 0x55, 0xff},
	}
	shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.PyramidGlyph{}}
)

// points are one column's medians with the range of their repetitions.
type points struct {
	plotter.XYs
	plotter.YErrors
}

// draw plots one metric: a point for each scenario and column at the median, a bar from the least
// to the greatest value. The scale is logarithmic unless a value is not positive.
func (r *Results) draw(g grid) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = g.metric
	p.Y.Label.Text = g.unit
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Add(plotter.NewGrid())
	positive := true
	for k, c := range g.columns {
		var pts points
		for i, line := range g.rows {
			m := r.find(line.scenario, c.target, c.transport, line.payload, g.metric)
			if m == nil {
				continue
			}
			least, greatest := m.Range()
			positive = positive && least > 0
			offset := 0.6 * ((float64(k)+0.5)/float64(len(g.columns)) - 0.5)
			pts.XYs = append(pts.XYs, plotter.XY{X: float64(i) + offset, Y: m.Median()})
			bar := struct{ Low, High float64 }{m.Median() - least, greatest - m.Median()}
			pts.YErrors = append(pts.YErrors, bar)
		}
		if err := addPoints(p, c.String(), k, pts); err != nil {
			return nil, fmt.Errorf("plot of %s: %w", g.metric, err)
		}
	}
	labels := make([]string, len(g.rows))
	for i, line := range g.rows {
		labels[i] = line.label(r.severalPayloads())
	}
	p.NominalX(labels...)
	p.X.Tick.Label.Rotation = 0.6
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YTop
	p.X.Min, p.X.Max = -0.5, float64(len(g.rows))-0.5
	if positive {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Min, p.Y.Max = p.Y.Min/1.5, 3*p.Y.Max // room for the marks and the legend
	} else {
		p.Y.Min = min(p.Y.Min, 0)
	}
	if p.Y.Max <= p.Y.Min {
		p.Y.Min, p.Y.Max = p.Y.Min/2, 2*p.Y.Max+1 // one single value
	}
	return p, nil
}

func addPoints(p *plot.Plot, name string, k int, pts points) error {
	marks, err := plotter.NewScatter(pts.XYs)
	if err != nil {
		return err
	}
	bars, err := plotter.NewYErrorBars(pts)
	if err != nil {
		return err
	}
	colour := colours[k%len(colours)]
	marks.GlyphStyle = draw.GlyphStyle{
		Color: colour, Radius: vg.Points(3), Shape: shapes[k/len(colours)%len(shapes)],
	}
	bars.LineStyle.Color, bars.CapWidth = colour, vg.Points(4)
	p.Add(bars, marks)
	p.Legend.Add(name, marks)
	return nil
}

// WriteSVG plots a metric of the run, by the name it has in tables.
func (r *Results) WriteSVG(w io.Writer, metric string) error {
	r = r.withShares()
	for _, g := range r.grids() {
		if g.metric == metric {
			return r.svg(w, g)
		}
	}
	return fmt.Errorf("the run has no %q", metric)
}

func (r *Results) svg(w io.Writer, g grid) error {
	p, err := r.draw(g)
	if err != nil {
		return err
	}
	width := 8 + 1.2*float64(len(g.rows))
	to, err := p.WriterTo(vg.Length(max(width, 14))*vg.Centimeter, 11*vg.Centimeter, "svg")
	if err != nil {
		return fmt.Errorf("plot of %s: %w", g.metric, err)
	}
	_, err = to.WriteTo(w)
	return err
}

// inline is the plot as an element of a page: without the XML declaration.
func (r *Results) inline(g grid) (string, error) {
	var b bytes.Buffer
	if err := r.svg(&b, g); err != nil {
		return "", err
	}
	at := max(bytes.Index(b.Bytes(), []byte("<svg")), 0)
	return b.String()[at:], nil
}
