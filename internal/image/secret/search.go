package secret

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// A hit is what a rule found: text[from:to] is the credential or where it begins.
type hit struct {
	from, to int
	rule     *rule
}

// A keyword is a string near which a rule looks; it has four bytes or more.
type keyword struct {
	text string
	rule *rule
}

// The filter finds keywords in one pass: a table of bits says of four bytes, letters of
// either case alike, whether a keyword may begin with them.
const hashBits = 13

type filter struct {
	bits  [1 << hashBits / 64]uint64
	words [1 << hashBits][]keyword
}

const fold = 0x20202020 // makes lower case of letters, and something of the rest

func hash(four uint32) uint32 { return (four | fold) * 0x9E3779B1 >> (32 - hashBits) }

func (f *filter) add(k keyword) {
	h := hash(binary.LittleEndian.Uint32([]byte(k.text)))
	f.bits[h>>6] |= 1 << (h & 63)
	f.words[h] = append(f.words[h], k)
}

// keywords calls yield for each place where a keyword stands, in order.
func (f *filter) keywords(text []byte) iter.Seq2[int, keyword] {
	return func(yield func(int, keyword) bool) {
		if len(text) < 4 {
			return
		}
		bits, four := &f.bits, binary.LittleEndian.Uint32(text)<<8
		for i, c := range text[3:] {
			four = four>>8 | uint32(c)<<24
			h := hash(four)
			if bits[h>>6]&(1<<(h&63)) == 0 {
				continue
			}
			for _, k := range f.words[h] {
				end := i + len(k.text)
				if end <= len(text) && (string(text[i:end]) == k.text || k.rule.anyCase && bytes.EqualFold(text[i:end], []byte(k.text))) && !yield(i, k) {
					return
				}
			}
		}
	}
}

// search iterates over what the rules find in a text. A rule that keeps finding is asked
// no more: a file of ten thousand tokens is as bad as one of a hundred.
func search(text []byte) iter.Seq[hit] {
	return func(yield func(hit) bool) {
		var asked [64]int
		for at, k := range theFilter.keywords(text) {
			if asked[k.rule.order]++; asked[k.rule.order] > maxAsked {
				continue
			}
			if from, to, ok := k.rule.look(text, at); ok && !yield(hit{from, to, k.rule}) {
				return
			}
		}
	}
}

// maxAsked is how often one rule is asked in one text.
const maxAsked = 1000

// window is the part of a text in which a rule looks for what begins at a keyword.
func window(text []byte, at, most int) []byte { return text[at:min(len(text), at+most)] }

// bounded reports whether nothing that could belong to a token stands before a place.
func bounded(text []byte, at int) bool { return at == 0 || !wordByte(text[at-1]) }

func wordByte(c byte) bool { return alphanumeric(c) || c == '_' || c == '-' }

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
