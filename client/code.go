package client

import "mbserver/codec"

// Code says what an [Error] is about (protocol §7).
type Code = codec.Code

// The codes of the broker.
const (
	CodeMalformed          = codec.MalformedMessage
	CodeInvalidRequest     = codec.InvalidRequest
	CodeInvalidRequestID   = codec.InvalidRequestID
	CodeVersion            = codec.VersionNotSupported
	CodeUnauthorized       = codec.Unauthorized
	CodeForbidden          = codec.Forbidden
	CodeTopicNotSupported  = codec.TopicNotSupported
	CodeNoRoute            = codec.NoRouteFound
	CodeServiceUnavailable = codec.ServiceUnavailable
	CodeTimeout            = codec.Timeout
	CodeRateLimited        = codec.RateLimitExceeded
	CodeInternal           = codec.InternalError
)

// Codes of the client's own.
const (
	// CodeHandler is the code of the answer to a request whose handler returned an
	// error that is not an [*Error]. The broker never uses it itself.
	CodeHandler Code = "HANDLER_ERROR"
	// CodeEventsDropped is the code of what OnError is told when events were
	// dropped because hooks and callbacks were too slow; details: count, a uint64.
	CodeEventsDropped Code = "EVENTS_DROPPED"
)
