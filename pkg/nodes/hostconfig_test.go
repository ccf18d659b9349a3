package nodes_test

import (
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/nodes"
)

func TestHostConfig(t *testing.T) {
	tests := []struct{ name, operator, host, want string }{
		{name: "the operator's, byte for byte", operator: "# ours\npostgres: {port: 5433}\n", want: "# ours\npostgres: {port: 5433}\n"},
		{
			name: "the host's own watch stays", operator: "postgres:\n  port: 5433 # site\n", host: "watch:\n  listen: :5480 # here\npostgres:\n  port: 1\n",
			want: "postgres:\n  port: 5433 # site\nwatch:\n  listen: :5480 # here\n",
		},
		{name: "the operator's watch stays with the operator", operator: "watch:\n  metrics: :9090\npgpool:\n  user: monitor\n", want: "pgpool:\n  user: monitor\n"},
		{
			name: "zones are the site's", operator: "watch:\n  metrics: :9090\n  zones: {arb1: zone1c}\n", host: "watch:\n  listen: :5480\n  zones: {arb1: old}\n",
			want: "watch:\n  listen: :5480\n  zones: {arb1: zone1c}\n",
		},
		{name: "zones for a host without a file", operator: "watch:\n  zones: {arb1: zone1c}\n", want: "watch:\n  zones: {arb1: zone1c}\n"},
		{name: "nothing but what is the operator's own", operator: "watch:\n  metrics: :9090\n", want: ""},
		{name: "nothing at all", want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			operator := nodes.File{Path: "pgctl.yaml", Data: []byte(tt.operator)}
			got, err := nodes.HostConfig(operator, nodes.File{Path: "db1:pgctl.yaml", Data: []byte(tt.host)})
			if err != nil || string(got) != tt.want {
				t.Fatalf("got %q, %v; expected %q", got, err, tt.want)
			}
			again, err := nodes.HostConfig(operator, nodes.File{Path: "db1:pgctl.yaml", Data: got})
			if err != nil || string(again) != string(got) {
				t.Errorf("made again it is %q, %v", again, err)
			}
		})
	}
}

func TestHostConfigNamesTheBadFile(t *testing.T) {
	good, bad := nodes.File{Path: "pgctl.yaml"}, nodes.File{Path: "db1:pgctl.yaml", Data: []byte("wach:\n  listen: :5480\n")}
	if _, err := nodes.HostConfig(good, bad); err == nil || !strings.HasPrefix(err.Error(), "db1:pgctl.yaml:1: has the unknown section") {
		t.Errorf("got %v", err)
	}
}
