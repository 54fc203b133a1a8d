package watch

import "strings"

// form is a pattern taken apart, so that a message costs some nanoseconds: each part is "+", or
// levels that stand there as they are.
type form struct {
	parts []string
	open  bool // any number of levels may follow
}

// formOf takes a canonical pattern apart.
func formOf(pattern string) (f form) {
	literal := false // the last part is
	for level := range strings.SplitSeq(pattern, ".") {
		switch {
		case level == "#":
			f.open = true
		case level != "+" && literal:
			f.parts[len(f.parts)-1] += "." + level
		default:
			f.parts = append(f.parts, level)
			literal = level != "+"
		}
	}
	return f
}

// matches says whether f matches a canonical topic of the user.
func (f *form) matches(name []byte) bool {
	for i, part := range f.parts {
		end := len(part)
		if part == "+" {
			for end = 0; end < len(name) && name[end] != '.'; {
				end++
			}
		} else if len(name) < end || string(name[:end]) != part {
			return false
		}
		last := i == len(f.parts)-1
		switch {
		case end == len(name):
			return last
		case name[end] != '.':
			return false
		case last:
			return f.open
		}
		name = name[end+1:]
	}
	return f.open
}
