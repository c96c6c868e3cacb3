package atrest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"sync"
)

// Server is one apiserver.
type Server struct {
	Name string
	URL  string
	// Client has the certificate of somebody who may read /metrics.
	Client *http.Client
}

// loadedConfig is how an apiserver says which file it works with. It says so
// from its start, and again whenever it has loaded another.
var loadedConfig = regexp.MustCompile(`(?m)^apiserver_encryption_config_controller_last_config_info\{[^}]*\bhash="(sha256:[0-9a-f]{64})"`)

// maxMetrics bounds an apiserver's metrics; a large cluster's are some 20 MB.
const maxMetrics = 256 << 20

// loaded is the hash of the content that the apiserver works with.
func (s Server) loaded(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/metrics", http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := s.Client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxMetrics))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("/metrics answers %s", res.Status)
	}
	found := loadedConfig.FindSubmatch(body)
	if found == nil {
		return "", errors.New("it does not watch its encryption configuration; it needs --encryption-provider-config-automatic-reload=true")
	}
	return string(found[1]), nil
}

// waiting asks all servers at once.
func waiting(ctx context.Context, servers []Server, hash string) []string {
	answers := make([]string, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			switch now, err := s.loaded(ctx); {
			case err != nil:
				answers[i] = fmt.Sprintf("apiserver %s: %v", s.Name, err)
			case now != hash:
				answers[i] = fmt.Sprintf("apiserver %s: has not loaded the file yet", s.Name)
			}
		})
	}
	wg.Wait()
	var left []string
	for _, a := range answers {
		if a != "" {
			left = append(left, a)
		}
	}
	return left
}

// Member is a control plane whose file can be written from here.
type Member struct {
	Server

	File string
}

// Members are Machines whose files are all within reach.
type Members []Member

// Read returns the one content of all.
func (m Members) Read(context.Context) ([]byte, error) {
	var first []byte
	for i, member := range m {
		data, err := os.ReadFile(member.File)
		if err != nil {
			return nil, fmt.Errorf("encryption configuration of %s: %w", member.Name, err)
		}
		if i > 0 && !bytes.Equal(first, data) {
			return nil, fmt.Errorf("the encryption configurations of %s and %s differ", m[0].Name, member.Name)
		}
		first = data
	}
	return first, nil
}

// Put replaces the files.
func (m Members) Put(_ context.Context, content []byte) error {
	for _, member := range m {
		if old, err := os.ReadFile(member.File); err == nil && bytes.Equal(old, content) {
			continue
		}
		if err := Replace(member.File, content); err != nil {
			return fmt.Errorf("encryption configuration of %s: %w", member.Name, err)
		}
	}
	return nil
}

// Waiting asks every member's apiserver.
func (m Members) Waiting(ctx context.Context, hash string) ([]string, error) {
	servers := make([]Server, 0, len(m))
	for _, member := range m {
		servers = append(servers, member.Server)
	}
	return waiting(ctx, servers, hash), nil
}

// Distant are Machines whose files somebody else puts in place: Put writes
// what is to be copied, and Waiting sees when it has been.
type Distant struct {
	Servers []Server
	Current string // a copy of the file that the machines have now
	Next    string // what they are to have
}

// Read returns the copy.
func (d Distant) Read(context.Context) ([]byte, error) {
	data, err := os.ReadFile(d.Current)
	if err != nil {
		return nil, fmt.Errorf("reading the encryption configuration: %w", err)
	}
	return data, nil
}

// Put writes the next file.
func (d Distant) Put(_ context.Context, content []byte) error {
	if err := Replace(d.Next, content); err != nil {
		return fmt.Errorf("writing the next encryption configuration: %w", err)
	}
	return nil
}

// Waiting asks the apiservers.
func (d Distant) Waiting(ctx context.Context, hash string) ([]string, error) {
	return waiting(ctx, d.Servers, hash), nil
}
