package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// maxKey is the longest text of a private key that is looked at: RSA with 16384 bits has
// some 13 kB.
const maxKey = 16 << 10

// plainKey finds a private key that anybody can use who has it.
func plainKey(text []byte, at int) (int, int, bool) {
	end, encrypted, ok := pemKey(text, at)
	return at, end, ok && !encrypted
}

// encryptedKey finds one that a password protects.
func encryptedKey(text []byte, at int) (int, int, bool) {
	end, encrypted, ok := pemKey(text, at)
	return at, end, ok && encrypted
}

// pemKey reads what begins at "-----BEGIN ": a private key whose text is base64 of some
// length, be it in lines, indented, or in a string where \n stands for line ends. A key
// that is cut off, or whose middle was struck out, is none.
func pemKey(text []byte, at int) (end int, encrypted, ok bool) {
	near := window(text, at, maxKey)
	label, rest, found := bytes.Cut(near[len("-----BEGIN "):], []byte("-----"))
	if !found || len(label) > 40 || bytes.ContainsAny(label, "\n\"") {
		return 0, false, false
	}
	kind := string(label)
	if !strings.HasSuffix(kind, "PRIVATE KEY") && kind != "PGP PRIVATE KEY BLOCK" {
		return 0, false, false
	}
	inside, _, found := bytes.Cut(rest, []byte("-----END "+kind+"-----"))
	if !found {
		return 0, false, false
	}
	end = at + len("-----BEGIN ") + len(label) + 5 + len(inside)
	body, headers, clean := pemBody(inside)
	if !clean || len(body) < 60 || entropy(body) < 4 {
		return 0, false, false
	}
	encrypted = strings.Contains(kind, "ENCRYPTED") || strings.Contains(headers, "ENCRYPTED") || kind == "OPENSSH PRIVATE KEY" && !bare(body)
	return end, encrypted, true
}

// pemBody takes base64 out of the lines between the marks, and the headers among them.
func pemBody(inside []byte) (body []byte, headers string, clean bool) {
	s := string(inside)
	for _, escaped := range []string{`\\n`, `\n`, `\r`} {
		s = strings.ReplaceAll(s, escaped, "\n")
	}
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.Trim(line, " \t\r\"'+,\\")
		if strings.Contains(line, ": ") || strings.Contains(line, "DEK-Info:") {
			headers += line
			continue
		}
		if strings.HasPrefix(line, "=") && len(line) == 5 {
			continue // PGP's checksum
		}
		for i := range len(line) {
			if c := line[i]; c != '+' && c != '/' && c != '=' && !alphanumeric(c) {
				return nil, "", false
			}
		}
		body = append(body, line...)
	}
	return body, headers, true
}

// bare reports whether a key of OpenSSH says that it is encrypted with "none"
// (openssh-portable, PROTOCOL.key).
func bare(body []byte) bool {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	n, _ := base64.StdEncoding.Decode(raw, body)
	cipher, ok := bytes.CutPrefix(raw[:n], []byte("openssh-key-v1\x00"))
	if !ok || len(cipher) < 4 {
		return true
	}
	size := binary.BigEndian.Uint32(cipher)
	return size == 4 && bytes.HasPrefix(cipher[4:], []byte("none"))
}
