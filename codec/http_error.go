package codec

import "strconv"

// AppendHTTPError appends a complete HTTP/1.1 response after which the connection closes. body is
// JSON on one line, or empty; fields are further header fields, as "Name: value".
func AppendHTTPError(dst []byte, status int, body []byte, fields ...string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, statusText(status)...)
	dst = append(dst, "\r\nConnection: close\r\nContent-Type: application/json"+
		"\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	switch status {
	case 401: // RFC 9110 §15.5.2: "MUST send a WWW-Authenticate header field"
		dst = append(dst, "\r\nWWW-Authenticate: Bearer"...)
	case 426: // RFC 9110 §15.5.22: "MUST send an Upgrade header field"; RFC 6455 §4.4
		dst = append(dst, "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"...)
	}
	for _, field := range fields {
		dst = append(append(dst, "\r\n"...), field...)
	}
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

func statusText(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 426:
		return "Upgrade Required"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 503:
		return "Service Unavailable"
	}
	return "Error"
}
