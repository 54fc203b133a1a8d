package server

import "mbserver/codec"

// auth takes a token (protocol §8). This version of the node checks no credentials and needs none, so it can vouch for
// no token either.
func (s *systemCall) auth() *callError {
	token, ok, err := s.text("token")
	if err != nil {
		return err
	}
	if !ok || token == "" {
		return invalid("token", "must be a string")
	}
	return &callError{codec.Unauthorized, "this node checks no credentials and needs none", []codec.Detail{codec.TextDetail("reason", "not_configured")}}
}
