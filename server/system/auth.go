package system

// auth takes a token. On a node without authentication any is welcome, and vouches for nobody: the
// answer has neither identity nor expiresAt (protocol §8).
func (c *call) auth() *Error {
	token, ok, err := c.text("token")
	if err != nil {
		return err
	}
	if !ok || token == "" {
		return invalid("token", "must be a string that is not empty")
	}
	return c.success()
}
