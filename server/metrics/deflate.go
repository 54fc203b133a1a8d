package metrics

import "sync/atomic"

// Deflate is what a loop counts of permessage-deflate. It is apart from Counts because most nodes
// have nothing of it. Written by the loop only; any goroutine reads it.
type Deflate struct {
	Connections atomic.Int64 // that have agreed on it
	Out, In     DeflateWay
	Kept        atomic.Uint64 // messages that compressing did not make smaller
	Failed      atomic.Uint64 // messages that could not be inflated
}

// DeflateWay are the compressed messages of one direction.
type DeflateWay struct {
	Messages   atomic.Uint64
	Plain      atomic.Uint64 // their bytes, as they mean
	Compressed atomic.Uint64 // their bytes, as they are on the wire; framing not included
	Ns         atomic.Uint64 // that took; of some it is measured, and taken to be of as many
}

// DeflateSample is the sum of the loops' counts at one moment.
type DeflateSample struct {
	Connections  int64
	Out, In      DeflateWaySample
	Kept, Failed uint64
}

// DeflateWaySample is that of one direction.
type DeflateWaySample struct{ Messages, Plain, Compressed, Ns uint64 }

// AddTo adds the counts to s. Any goroutine.
func (d *Deflate) AddTo(s *DeflateSample) {
	s.Connections += d.Connections.Load()
	d.Out.addTo(&s.Out)
	d.In.addTo(&s.In)
	s.Kept += d.Kept.Load()
	s.Failed += d.Failed.Load()
}

func (w *DeflateWay) addTo(s *DeflateWaySample) {
	s.Messages += w.Messages.Load()
	s.Plain += w.Plain.Load()
	s.Compressed += w.Compressed.Load()
	s.Ns += w.Ns.Load()
}
