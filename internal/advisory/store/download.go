package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
)

// Limits of a download.
const (
	maxDownload = 8 << 30          // bytes; Red Hat's archive has 400 MB, npm's zip 250
	maxTime     = 45 * time.Minute // of one feed, all attempts and mirrors
	maxStall    = time.Minute      // without a byte
	attempts    = 4                // of each mirror
	maxWait     = 30 * time.Second // that a server may ask for before the next attempt
)

// A downloader keeps what feeds had, so that only changes are fetched.
type downloader struct {
	client *http.Client
	dir    string
	now    time.Time
	pause  time.Duration // before the second attempt; it doubles
	stall  time.Duration
	limit  int64
}

// A kept is what is known of a downloaded file. It lies beside it.
type kept struct {
	URL      string    `json:"url"`
	ETag     string    `json:"etag,omitempty"`
	Modified string    `json:"modified,omitempty"` // Last-Modified, as the server wrote it
	Fetched  time.Time `json:"fetched"`            // when the server last said that it is current
}

// asOf is the date that the server gives; zero where it gives none.
func (k *kept) asOf() time.Time {
	t, err := http.ParseTime(k.Modified)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

var unsafeName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// path is the file of a feed with an ending. The name's ending is kept: readers go by it.
func (d *downloader) path(f *Feed, ending string) string {
	suffix := ".json"
	switch {
	case f.Kind == feed.KindOSV:
		suffix = ".zip"
	case f.Pointer:
		suffix = ".tar.zst"
	}
	return filepath.Join(d.dir, unsafeName.ReplaceAllString(f.Name, "-")+ending+suffix)
}

func (d *downloader) state(f *Feed) string { return d.path(f, "") + ".state" }

// fetch brings a feed up to date from the first of its addresses that answers. It reports
// whether the file is another than before; the one before is kept beside it.
func (d *downloader) fetch(ctx context.Context, f *Feed, addresses []string) (changed bool, k kept, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	k = d.read(d.state(f))
	var failed error
	for _, address := range addresses {
		changed, k, err := d.address(ctx, f, address, k)
		if err == nil {
			return changed, k, nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", redacted(address), err))
		if ctx.Err() != nil {
			break
		}
	}
	return false, k, failed
}

// redacted is an address without a password.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is none"
	}
	return u.Redacted()
}

func (d *downloader) read(name string) (k kept) {
	if data, err := os.ReadFile(name); err == nil {
		_ = json.Unmarshal(data, &k)
	}
	return k
}

func (d *downloader) address(ctx context.Context, f *Feed, address string, k kept) (bool, kept, error) {
	if f.Pointer {
		target, err := d.pointer(ctx, address)
		if err != nil {
			return false, k, err
		}
		address = target
	}
	wait := d.pause
	for attempt := 1; ; attempt++ {
		changed, next, err := d.once(ctx, f, address, k)
		var again *again
		if err == nil || attempt == attempts || !errors.As(err, &again) || ctx.Err() != nil {
			return changed, next, err
		}
		select {
		case <-time.After(min(max(wait, again.after), maxWait)):
		case <-ctx.Done():
			return false, k, err
		}
		wait *= 2
	}
}

// pointer reads the name of the file that is meant.
func (d *downloader) pointer(ctx context.Context, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return "", plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(text))
	if name == "" || unsafeName.MatchString(name) || name[0] == '.' {
		return "", fmt.Errorf("it names no file: %.60q", name)
	}
	base, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return base.JoinPath("..", name).String(), nil
}

// again is an error after which another attempt may do.
type again struct {
	err   error
	after time.Duration
}

func (a *again) Error() string { return a.err.Error() }

func (a *again) Unwrap() error { return a.err }

var errNotThere = errors.New("there is no such file")

// onlySecure refuses to be sent from an address with TLS to one without.
func onlySecure(req *http.Request, via []*http.Request) error {
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("it sends elsewhere, without TLS: %s", req.URL.Redacted())
	}
	if len(via) == 10 {
		return errors.New("it sends from one address to the next, ten times")
	}
	return nil
}

// plain drops the request from an error: the address is said already.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// once makes one request: for the whole file, for the rest of one that was interrupted,
// or for whether there is a newer one.
func (d *downloader) once(ctx context.Context, f *Feed, address string, k kept) (changed bool, next kept, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, k, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if f.Kind == feed.KindDebian {
		req.Header.Set("Accept-Encoding", "gzip") // as it comes: its reader unpacks
	}
	part, data := d.path(f, ".part"), d.path(f, "")
	begun := d.read(part + ".state")
	var have int64
	if info, err := os.Stat(part); err == nil && begun.URL == address && strongTag(begun.ETag) {
		have = info.Size()
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", begun.ETag)
	} else if _, err := os.Stat(data); err == nil && k.URL == address {
		if k.ETag != "" {
			req.Header.Set("If-None-Match", k.ETag)
		}
		if k.Modified != "" {
			req.Header.Set("If-Modified-Since", k.Modified)
		}
	}

	idle := time.AfterFunc(d.stall, func() { cancel(fmt.Errorf("no answer for %s", d.stall)) })
	defer idle.Stop()
	resp, err := d.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return false, k, &again{err: plain(err)}
	}
	defer resp.Body.Close()
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	switch resp.StatusCode {
	case http.StatusNotModified:
		k.Fetched = d.now
		return false, k, d.write(d.state(f), k)
	case http.StatusOK:
		have = 0
	case http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
			os.Remove(part)
			return false, k, &again{err: errors.New("it sent another part than was asked for")}
		}
		flags = os.O_WRONLY | os.O_APPEND
	case http.StatusRequestedRangeNotSatisfiable:
		os.Remove(part)
		return false, k, &again{err: errors.New(resp.Status)}
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false, k, &again{errors.New(resp.Status), retryAfter(resp.Header, d.now)}
	case http.StatusNotFound, http.StatusGone:
		return false, k, fmt.Errorf("%s: %w", resp.Status, errNotThere)
	default:
		return false, k, errors.New(resp.Status)
	}
	if resp.ContentLength > d.limit-have {
		return false, k, fmt.Errorf("more than %d MB", d.limit>>20)
	}
	next = kept{URL: address, ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified"), Fetched: d.now}
	if err := d.write(part+".state", next); err != nil {
		return false, k, err
	}
	out, err := os.OpenFile(part, flags, 0o644)
	if err != nil {
		return false, k, err
	}
	n, err := io.Copy(out, io.LimitReader(&watched{resp.Body, idle, d.stall}, d.limit-have+1))
	switch {
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return false, k, &again{err: errors.Join(plain(err), out.Close())}
	case have+n > d.limit:
		out.Close()
		os.Remove(part)
		return false, k, fmt.Errorf("more than %d MB", d.limit>>20)
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return false, k, err
	}
	if err := d.checksum(part, resp.Header); err != nil {
		os.Remove(part)
		return false, k, &again{err: err}
	}
	return d.keep(f, part, data, next)
}

// keep puts a finished download in the place of the one before.
func (d *downloader) keep(f *Feed, part, data string, next kept) (bool, kept, error) {
	os.Remove(part + ".state")
	old, err := fileSum(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, next, err
	}
	sum, err := fileSum(part)
	if err != nil {
		return false, next, err
	}
	if sum == old {
		os.Remove(part)
		return false, next, d.write(d.state(f), next)
	}
	if old != "" {
		if err := os.Rename(data, d.path(f, ".earlier")); err != nil {
			return false, next, err
		}
	}
	if err := os.Rename(part, data); err != nil {
		return false, next, err
	}
	return true, next, d.write(d.state(f), next)
}

// write writes what is known of a file, as a whole or not at all.
func (d *downloader) write(name string, k kept) error {
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// strongTag reports whether equal tags mean equal bytes.
func strongTag(tag string) bool { return tag != "" && !strings.HasPrefix(tag, "W/") }

// retryAfter is how long a server asks to be left alone.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(v); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 3600)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// watched puts off the end of patience with every byte.
type watched struct {
	r     io.Reader
	idle  *time.Timer
	stall time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.idle.Reset(w.stall)
	}
	return n, err
}

// checksum compares a file with what the server says that it is: Repr-Digest and Digest
// (RFC 9530, RFC 3230), and the CRC of Google's storage, where the OSV bucket is.
func (d *downloader) checksum(name string, h http.Header) error {
	var sum hash.Hash
	var want string
	for _, v := range h.Values("X-Goog-Hash") {
		for one := range strings.SplitSeq(v, ",") {
			if crc, ok := strings.CutPrefix(strings.TrimSpace(one), "crc32c="); ok {
				sum, want = crc32.New(crc32.MakeTable(crc32.Castagnoli)), crc
			}
		}
	}
	for _, field := range []string{"Digest", "Repr-Digest"} {
		for _, v := range h.Values(field) {
			for one := range strings.SplitSeq(v, ",") {
				if name, value, _ := strings.Cut(strings.TrimSpace(one), "="); strings.EqualFold(name, "sha-256") {
					sum, want = sha256.New(), strings.Trim(value, ":")
				}
			}
		}
	}
	if sum == nil {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	got := sum.Sum(nil)
	if base64.StdEncoding.EncodeToString(got) != want {
		return fmt.Errorf("its checksum is %s, the server says another", hex.EncodeToString(got))
	}
	return nil
}
