package amqptest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
)

// hashSHA256 is the algorithm of RabbitMQ's password hashes unless they say
// another.
const hashSHA256 = "rabbit_password_hashing_sha256"

// passwordHash is a password as RabbitMQ keeps it: four octets of salt, and the
// hash of salt and password.
type passwordHash struct {
	algorithm string
	salt, sum []byte
}

const saltSize = 4

func algorithm(name string) func() hash.Hash {
	switch name {
	case hashSHA256:
		return sha256.New
	case "rabbit_password_hashing_sha512":
		return sha512.New
	case "rabbit_password_hashing_md5": // of users made before RabbitMQ 3.6
		return md5.New
	}
	return nil
}

// parseHash reads what the management API calls password_hash. One of another
// length than its algorithm's is kept; no password fits it.
func parseHash(name, text string) (*passwordHash, error) {
	if algorithm(name) == nil {
		return nil, errors.New("unknown hashing algorithm " + name)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if len(b) <= saltSize {
		return nil, errors.New("too short")
	}
	return &passwordHash{algorithm: name, salt: b[:saltSize], sum: b[saltSize:]}, nil
}

// hashOf hashes a password with a salt that comes from a name, so that it is
// the same each time.
func hashOf(name, password string) *passwordHash {
	seed := sha256.Sum256([]byte(name))
	h := &passwordHash{algorithm: hashSHA256, salt: seed[:saltSize]}
	h.sum = h.of(password)
	return h
}

func (h *passwordHash) of(password string) []byte {
	d := algorithm(h.algorithm)()
	_, _ = d.Write(h.salt) // a hash takes everything
	_, _ = d.Write([]byte(password))
	return d.Sum(nil)
}

func (h *passwordHash) accepts(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password), h.sum) == 1
}

func (h *passwordHash) String() string {
	return base64.StdEncoding.EncodeToString(bytes.Join([][]byte{h.salt, h.sum}, nil))
}
