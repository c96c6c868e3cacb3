package atrest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLoaded(t *testing.T) {
	const hash = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
	defer server.Close()
	s := Server{Name: "a", URL: server.URL, Client: server.Client()}
	ask := func(want string) []string { return waiting(context.Background(), []Server{s}, want) }
	answer = "# HELP x\napiserver_encryption_config_controller_last_config_info{apiserver_id_hash=\"sha256:ff\",hash=\"" + hash + "\"} 1\n"
	if left := ask(hash); len(left) > 0 {
		t.Errorf("loaded, but: %v", left)
	}
	if left := ask("sha256:other"); len(left) != 1 || left[0] != "apiserver a: has not loaded the file yet" {
		t.Errorf("got %v", left)
	}
	answer = "# nothing\n"
	if left := ask(hash); len(left) != 1 || !strings.Contains(left[0], "automatic-reload") {
		t.Errorf("got %v", left)
	}
}
