//go:build unix && !linux

package door

// waiting is how many connections wait to be accepted. This system does not tell: for all that is
// known they are too many to wait, and who is over admission.rate is refused at once.
func (l *listener) waiting() int {
	const many = 1 << 30
	if l.fd < 0 || l.resting {
		return 0
	}
	return many
}
