package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// TokenPrefix begins every token, so that scanners find one that leaked.
const TokenPrefix = "cy_"

// NewToken makes a token of 256 random bits.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the program instead
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Hash gives the form in which a token is stored and looked up.
func Hash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// CheckAdminToken reports why a token that an administrator chose is too weak, or cannot be sent in a header.
func CheckAdminToken(token string) error {
	if len(token) < 32 {
		return fmt.Errorf("the admin token has %d characters; it needs at least 32 random ones", len(token))
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return fmt.Errorf("the admin token has characters outside printable ASCII")
		}
	}
	return nil
}

// FromHeader takes the token out of an Authorization header. cargo sends it bare, other clients after "Bearer".
func FromHeader(h string) string {
	if len(h) > 7 && strings.EqualFold(h[:7], "bearer ") {
		h = h[7:]
	}
	return strings.TrimSpace(h)
}
