package codec

import "time"

// Code is the machine-readable part of an error (protocol §7).
type Code string

const (
	MalformedMessage    Code = "MALFORMED_MESSAGE"     // header, framing, JSON or size is wrong
	InvalidRequest      Code = "INVALID_REQUEST"       // wrong action or field in a system request
	InvalidRequestID    Code = "INVALID_REQUEST_ID"    // a response to no outstanding request
	VersionNotSupported Code = "VERSION_NOT_SUPPORTED" // a system topic's major version is not 1
	Unauthorized        Code = "UNAUTHORIZED"          // not authenticated
	Forbidden           Code = "FORBIDDEN"             // authenticated, but not permitted
	TopicNotSupported   Code = "TOPIC_NOT_SUPPORTED"   // unknown system topic
	NoRouteFound        Code = "NO_ROUTE_FOUND"        // nobody subscribed
	ServiceUnavailable  Code = "SERVICE_UNAVAILABLE"   // target gone, queue full, busy or draining
	Timeout             Code = "TIMEOUT"               // the deadline passed
	RateLimitExceeded   Code = "RATE_LIMIT_EXCEEDED"   // over a limit of protocol §9
	InternalError       Code = "INTERNAL_ERROR"        // anything else
)

// TimestampLayout is ISO 8601 in UTC with milliseconds, for package time.
const TimestampLayout = "2006-01-02T15:04:05.000Z"

// AppendTimestamp appends unixMs, milliseconds since 1970, in TimestampLayout.
// No allocation when dst has room.
func AppendTimestamp(dst []byte, unixMs int64) []byte {
	return time.UnixMilli(unixMs).UTC().AppendFormat(dst, TimestampLayout)
}
