package bench

import "math"

// scale places values between 0 and 1.
type scale struct {
	logarithmic bool
	first, last float64
	ticks       []float64 // ascending, within first and last
}

// maxTicks is how many labels have room side by side on a narrow screen.
const maxTicks = 7

// tiny is what is no measurement: nearer to zero powers of ten lose their digits.
const tiny = 1e-300

// newScale has room for everything from least to greatest. It is logarithmic when all of that is
// positive, and has 0 on it otherwise.
func newScale(least, greatest float64) scale {
	if least > tiny {
		return logScale(least, greatest)
	}
	return linearScale(min(least, 0), max(greatest, 0))
}

// at is where v stands.
func (s *scale) at(v float64) float64 {
	if s.logarithmic {
		// Not of their quotients, which may be too large for a number.
		return (math.Log(v) - math.Log(s.first)) / (math.Log(s.last) - math.Log(s.first))
	}
	return (v - s.first) / (s.last - s.first)
}

// logScale has ticks in steps of 1, 2 and 5 while these are few, else at powers of ten, else at
// every n-th of those.
func logScale(least, greatest float64) scale {
	ticks := logTicks(least, greatest, 1, 2, 5)
	if len(ticks) > maxTicks {
		ticks = logTicks(least, greatest, 1)
	}
	s := scale{logarithmic: true, first: ticks[0], last: ticks[len(ticks)-1]}
	each := (len(ticks) + maxTicks - 1) / maxTicks
	for i := 0; i < len(ticks); i += each {
		s.ticks = append(s.ticks, ticks[i])
	}
	return s
}

// logTicks are the products of steps with powers of ten: from the last that is not above least to
// the first that is above it and not below greatest.
func logTicks(least, greatest float64, steps ...float64) (ticks []float64) {
	const slack = 1e-9 // of a power of ten that is computed
	for e := math.Floor(math.Log10(least)) - 1; ; e++ {
		for _, step := range steps {
			v := step * math.Pow(10, e)
			if v <= least*(1+slack) {
				ticks = append(ticks[:0], v)
				continue
			}
			ticks = append(ticks, v)
			if v >= greatest*(1-slack) {
				return ticks
			}
		}
	}
}

// linearScale has ticks at multiples of the least of 1, 2 and 5 times a power of ten that makes
// few.
func linearScale(least, greatest float64) scale {
	if greatest-least < tiny {
		greatest++
	}
	for e := math.Floor(math.Log10(greatest-least)) - 1; ; e++ {
		for _, step := range []float64{1, 2, 5} {
			step *= math.Pow(10, e)
			first, last := math.Floor(least/step), math.Ceil(greatest/step)
			if last-first >= maxTicks {
				continue
			}
			s := scale{first: first * step, last: last * step}
			for i := first; i <= last; i++ {
				s.ticks = append(s.ticks, i*step)
			}
			return s
		}
	}
}
