package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// tokenBytes is how many random bytes a minted token has.
const tokenBytes = 32

// NewToken mints a token: 32 random bytes as base64url without padding.
func NewToken() string {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Hash is what the configuration holds of a token: SHA-256 of its text, in lower-case hexadecimal.
// A token is as random as a key, so a plain hash says nothing of it.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Token is one that the configuration knows by its hash.
type Token struct {
	Identity string
	SHA256   string    // as Hash writes it, in any case
	Roles    []string  // as they are written
	Expires  time.Time // zero: never
}

// errHash does not show what is there: it may be the token itself.
var errHash = errors.New("sha256 is not 64 hexadecimal digits: mb token hash makes it of a token")

// parseHash reads a hash of the configuration.
func parseHash(text string) (sum [sha256.Size]byte, err error) {
	if hex.DecodedLen(len(text)) == len(sum) {
		if _, err = hex.Decode(sum[:], []byte(text)); err == nil {
			return sum, nil
		}
	}
	return sum, errHash
}

// checkIdentity says what is wrong with an identity.
func checkIdentity(identity string) error {
	switch {
	case identity == "":
		return errors.New("an identity is not empty")
	case len(identity) > maxIdentity:
		return fmt.Errorf("an identity has at most %d bytes", maxIdentity)
	}
	for _, r := range identity {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return errors.New("an identity holds no control characters, and is UTF-8")
		}
	}
	return nil
}

// maxIdentity is how many bytes an identity may have: the subject of a certificate is the longest
// there is.
const maxIdentity = 512

// maxRoles is how many roles a token may name.
const maxRoles = 256
