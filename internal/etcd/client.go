package etcd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Client speaks to a member's client port.
type Client struct {
	// Endpoint is https://host:port, or http:// where etcd has no TLS.
	Endpoint string
	// HTTP speaks HTTP/2, with the client certificate.
	HTTP *http.Client
}

// Dial opens a connection; net.Dialer.DialContext is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewClient is a client of one member. Without TLS it speaks HTTP/2 too.
func NewClient(endpoint string, config *tls.Config, dial Dial) *Client {
	transport := &http.Transport{TLSClientConfig: config, DialContext: dial, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return &Client{Endpoint: strings.TrimRight(endpoint, "/"), HTTP: &http.Client{Transport: transport}}
}

// Stored is one object as etcd has it: its name, and the first bytes of its
// value if it begins with the mark that was asked for.
type Stored struct {
	Key    string
	Prefix []byte
}

const (
	// pageSize is how many objects are asked for at once.
	pageSize = 500
	// prefixBytes is as much of a marked value as is kept: enough for the longest
	// "k8s:enc:provider:version:name:" that anybody would choose.
	prefixBytes = 256
	// maxKey bounds a key's length; Kubernetes' are a few hundred bytes.
	maxKey = 64 << 10
)

// Each calls visit for every object below a prefix. Values stream by: of one that
// begins with the mark the first bytes are kept, and everything else is dropped as
// it arrives.
func (c *Client) Each(ctx context.Context, prefix, mark string, visit func(Stored)) error {
	from, end := []byte(prefix), prefixEnd(prefix)
	for {
		last := ""
		more, err := c.page(ctx, from, end, mark, func(s Stored) { last = s.Key; visit(s) })
		if err != nil {
			return fmt.Errorf("reading %s from etcd %s: %w", prefix, c.Endpoint, err)
		}
		if !more || last == "" {
			return nil
		}
		from = append([]byte(last), 0)
	}
}

// prefixEnd is the first key behind all that begin with the prefix.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < math.MaxUint8 {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0}
}

// Fields of etcd's messages, from rpc.proto and kv.proto.
const (
	rangeKey, rangeEnd, rangeLimit = 1, 2, 3
	responseKVs, responseMore      = 2, 3
	kvKey, kvValue                 = 1, 5
)

func (c *Client) page(ctx context.Context, from, end []byte, mark string, visit func(Stored)) (more bool, err error) {
	var message []byte
	message = appendBytes(message, rangeKey, from)
	message = appendBytes(message, rangeEnd, end)
	message = binary.AppendUvarint(binary.AppendUvarint(message, rangeLimit<<3|wireVarint), pageSize)
	body, err := c.call(ctx, "/etcdserverpb.KV/Range", message)
	if err != nil {
		return false, err
	}
	defer body.Close()
	err = body.message(func(field int, r *wire) error {
		switch field {
		case responseKVs:
			s, err := readStored(r, mark)
			if err == nil {
				visit(s)
			}
			return err
		case responseMore:
			more = r.number != 0
		}
		return nil
	})
	return more, err
}

func readStored(r *wire, mark string) (s Stored, err error) {
	err = r.fields(func(field int, r *wire) error {
		switch field {
		case kvKey:
			if r.left > maxKey {
				return errMalformed
			}
			key, err := r.head(maxKey)
			s.Key = string(key)
			return err
		case kvValue:
			s.Prefix, err = r.marked(mark)
			return err
		}
		return nil
	})
	return s, err
}

// answer is the body of a gRPC answer.
type answer struct {
	io.ReadCloser

	response *http.Response
}

func (c *Client) call(ctx context.Context, method string, message []byte) (*answer, error) {
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint+method, bytes.NewReader(append(framed, message...)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	a := &answer{res.Body, res}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("answered %s", res.Status), res.Body.Close())
	}
	// An answer that is only an error has its status in the header.
	if err := status(res.Header); err != nil {
		return nil, errors.Join(err, res.Body.Close())
	}
	return a, nil
}

// message reads the one message of a unary answer, and the status behind it.
func (a *answer) message(visit func(field int, r *wire) error) error {
	var frame [5]byte
	if _, err := io.ReadFull(a, frame[:]); err != nil {
		// No message: then the status says why.
		if _, copyErr := io.Copy(io.Discard, a); copyErr == nil {
			if err := status(a.response.Trailer); err != nil {
				return err
			}
		}
		return fmt.Errorf("reading the answer: %w", err)
	}
	if frame[0] != 0 {
		return errors.New("the answer is compressed, which was not asked for")
	}
	r := &wire{from: bufio.NewReaderSize(a, 64<<10), left: int64(binary.BigEndian.Uint32(frame[1:]))}
	if err := r.fields(visit); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r.from); err != nil {
		return fmt.Errorf("reading the answer's end: %w", err)
	}
	return status(a.response.Trailer)
}

// status is gRPC's error, nil if there is none.
func status(h http.Header) error {
	code := h.Get("Grpc-Status")
	if code == "" || code == "0" {
		return nil
	}
	n, err := strconv.Atoi(code)
	if err != nil {
		return errors.New("etcd answered with a malformed status")
	}
	return &StatusError{Code: n, Message: h.Get("Grpc-Message")}
}

// StatusError is what etcd said instead of an answer.
type StatusError struct {
	Code    int // gRPC's
	Message string
}

func (e *StatusError) Error() string { return fmt.Sprintf("etcd says %q (code %d)", e.Message, e.Code) }

// Wire types of protocol buffers.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

var errMalformed = errors.New("malformed answer")

func appendBytes(to []byte, field int, value []byte) []byte {
	to = binary.AppendUvarint(to, uint64(field)<<3|wireBytes)
	return append(binary.AppendUvarint(to, uint64(len(value))), value...)
}

// wire reads one message, or a field of one, off a stream.
type wire struct {
	from   *bufio.Reader
	left   int64  // of this message or field
	number uint64 // the field, if it is a number
}

// ReadByte counts what binary.ReadUvarint takes.
func (r *wire) ReadByte() (byte, error) {
	if r.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	r.left--
	return r.from.ReadByte()
}

// head returns the field's first bytes and drops the rest.
func (r *wire) head(most int64) ([]byte, error) {
	data := make([]byte, min(most, r.left))
	_, err := io.ReadFull(r.from, data)
	r.left -= int64(len(data))
	return data, errors.Join(err, r.drop())
}

// marked returns the first bytes of a field that begins with the mark, and drops the
// rest, and all of any other.
func (r *wire) marked(mark string) ([]byte, error) {
	start := make([]byte, min(int64(len(mark)), r.left))
	_, err := io.ReadFull(r.from, start)
	r.left -= int64(len(start))
	if err != nil || string(start) != mark {
		clear(start)
		return nil, errors.Join(err, r.drop())
	}
	rest, err := r.head(prefixBytes - int64(len(mark)))
	return append(start, rest...), err
}

func (r *wire) drop() error {
	n, err := io.CopyN(io.Discard, r.from, r.left)
	r.left -= n
	return err
}

// fields calls visit for every field; what visit leaves of one is dropped.
func (r *wire) fields(visit func(field int, r *wire) error) error {
	for r.left > 0 {
		tag, err := binary.ReadUvarint(r)
		if err != nil {
			return errMalformed
		}
		part := &wire{from: r.from}
		switch tag & 7 {
		case wireVarint:
			if part.number, err = binary.ReadUvarint(r); err != nil {
				return errMalformed
			}
		case wire64:
			part.left = 8
		case wire32:
			part.left = 4
		case wireBytes:
			length, err := binary.ReadUvarint(r)
			if err != nil || length > uint64(max(r.left, 0)) {
				return errMalformed
			}
			part.left = int64(length)
		default:
			return errMalformed
		}
		if part.left > r.left {
			return errMalformed
		}
		r.left -= part.left
		if err := visit(int(tag>>3), part); err != nil {
			return err
		}
		if err := part.drop(); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
	return nil
}
