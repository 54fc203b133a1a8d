package system

import "mbserver/codec"

// auth takes a token (protocol §8). This version of the node checks no credentials and needs none,
// so it can vouch for no token either.
func (c *call) auth() *Error {
	token, ok, err := c.text("token")
	if err != nil {
		return err
	}
	if !ok || token == "" {
		return invalid("token", "must be a string")
	}
	return &Error{codec.Unauthorized, "this node checks no credentials and needs none",
		[]codec.Detail{codec.TextDetail("reason", "not_configured")}}
}
