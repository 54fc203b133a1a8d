package codec

import (
	"bytes"
	"strconv"
)

// ErrorHeader is the header line of an answer to what could not be read (protocol §7).
const ErrorHeader = "response:error:1.0.0\n"

// Detail is one member of an error's details.
type Detail struct {
	key    string
	text   string
	raw    []byte // text that is not copied; valid while the call runs
	number int64
	isText bool
}

// TextDetail is a member whose value is a string.
func TextDetail(key, value string) Detail { return Detail{key: key, text: value, isText: true} }

// RawDetail is TextDetail for bytes, which are not copied:
// they must stay until the error is written.
func RawDetail(key string, value []byte) Detail {
	return Detail{key: key, raw: value, isText: true}
}

// NumberDetail is a member whose value is a whole number.
func NumberDetail(key string, value int) Detail { return Detail{key: key, number: int64(value)} }

// Text returns the value of a member of that name; is says that d is one and that it is a string.
func (d *Detail) Text(key string) (value string, is bool) {
	if d.key != key || !d.isText {
		return "", false
	}
	if d.raw != nil {
		return string(d.raw), true
	}
	return d.text, true
}

// AppendError appends the payload of an error answer (protocol §7). unixMs is milliseconds since
// 1970. No allocation when dst has room.
func AppendError(dst []byte, code Code, message string, unixMs int64, details ...Detail) []byte {
	dst = append(dst, `{"error":{"code":"`...)
	dst = append(dst, code...)
	dst = append(dst, `","message":`...)
	dst = AppendJSONQuoted(dst, message)
	dst = append(dst, `,"timestamp":"`...)
	dst = AppendTimestamp(dst, unixMs)
	dst = append(dst, '"')
	for i := range details {
		if i == 0 {
			dst = append(dst, `,"details":{`...)
		} else {
			dst = append(dst, ',')
		}
		dst = details[i].append(dst)
	}
	if len(details) > 0 {
		dst = append(dst, '}')
	}
	return append(dst, `}}`...)
}

// CodeIn returns the code of a payload that AppendError has composed; "" of any other.
func CodeIn(payload []byte) Code {
	rest, ok := bytes.CutPrefix(payload, []byte(`{"error":{"code":"`))
	if !ok {
		return ""
	}
	code, _, _ := bytes.Cut(rest, []byte{'"'})
	return Code(code)
}

func (d *Detail) append(dst []byte) []byte {
	dst = append(AppendJSONQuoted(dst, d.key), ':')
	switch {
	case d.raw != nil:
		return AppendJSONString(dst, d.raw)
	case d.isText:
		return AppendJSONQuoted(dst, d.text)
	}
	return strconv.AppendInt(dst, d.number, 10)
}

// AppendAck appends the payload that acknowledges a publish (protocol §5): how many services were
// subscribed, how many of those did not get it, and how many nodes have not said (protocol §12). No
// allocation when dst has room.
func AppendAck(dst []byte, subscribers, dropped, unconfirmed int) []byte {
	dst = append(dst, `{"status":"success","subscribers":`...)
	dst = strconv.AppendInt(dst, int64(subscribers), 10)
	if dropped > 0 {
		dst = append(dst, `,"dropped":`...)
		dst = strconv.AppendInt(dst, int64(dropped), 10)
	}
	if unconfirmed > 0 {
		dst = append(dst, `,"unconfirmed":`...)
		dst = strconv.AppendInt(dst, int64(unconfirmed), 10)
	}
	return append(dst, '}')
}
