// Package terminal keeps what comes from others from acting on the terminal that shows it.
package terminal

import (
	"os"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Is reports whether stream, an input or an output, is a terminal.
func Is(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	err = conn.Control(func(fd uintptr) { is = term.IsTerminal(int(fd)) })
	return err == nil && is
}

// Columns returns the width of the terminal that stream is; 0 when it is none.
func Columns(stream any) (columns int) {
	if !Is(stream) {
		return 0
	}
	conn, err := stream.(*os.File).SyscallConn()
	if err != nil {
		return 0
	}
	err = conn.Control(func(fd uintptr) {
		if width, _, err := term.GetSize(int(fd)); err == nil {
			columns = width
		}
	})
	if err != nil {
		return 0
	}
	return columns
}

// AppendText appends text to dst with all that would act on a terminal, but for newlines and
// tabs, in a form that can be seen and does nothing.
func AppendText(dst, text []byte) []byte { return escape(dst, text, true) }

// Line returns text as a part of one line: as AppendText, and newlines and tabs are made visible
// too.
func Line(text string) string { return string(escape(nil, []byte(text), false)) }

// Cell returns text as Line does, for its place in a table or among others; "-" for none.
func Cell(text string) string {
	if text == "" {
		return "-"
	}
	return Line(text)
}

// escape writes what acts as JSON does in strings, \n or \u001b, so that JSON stays what it was,
// and bytes that are no UTF-8 as \xff.
func escape(dst, text []byte, lines bool) []byte {
	const digits = "0123456789abcdef"
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case lines && (r == '\n' || r == '\t'), !acts(r) && (r != utf8.RuneError || size > 1):
			dst = append(dst, text[:size]...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == utf8.RuneError:
			dst = append(dst, '\\', 'x', digits[text[0]>>4], digits[text[0]&15])
		default: // All of them have four digits.
			dst = append(dst, '\\', 'u',
				digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		}
		text = text[size:]
	}
	return dst
}

// acts reports whether r does something instead of being shown: controls (those of C1 begin
// sequences as ESC [ does), the direction of writing, other ends of lines.
func acts(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' ||
		unicode.Is(unicode.Bidi_Control, r)
}
