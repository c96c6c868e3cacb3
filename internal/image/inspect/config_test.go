package inspect

import "testing"

func TestMask(t *testing.T) {
	for _, tc := range []struct{ command, want string }{
		{"ENV MYSQL_ROOT_PASSWORD hunter2", "ENV MYSQL_ROOT_PASSWORD ***"},
		{"/bin/sh -c #(nop)  ENV TOKEN abc def", "/bin/sh -c #(nop)  ENV TOKEN ***"},
		{"ENV LANG C.UTF-8", "ENV LANG C.UTF-8"},
		{"ENV DB_PASSWORD=hunter2 PATH=/bin", "ENV DB_PASSWORD=*** PATH=/bin"},
		{"|1 NPM_TOKEN=hunter2 /bin/sh -c npm install", "|1 NPM_TOKEN=*** /bin/sh -c npm install"},
	} {
		if got := mask(tc.command); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.command, got, tc.want)
		}
	}
}
