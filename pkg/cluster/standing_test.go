package cluster_test

import (
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

func TestStanding(t *testing.T) {
	snap := region(3)
	snap.Servers[1].SQL.Position = lsn("0/5000080")
	view := snap.View()
	if view.Master != "db1" || view.Standings[0].Role != cluster.RoleMaster || view.Standings[0].LagBytes != nil {
		t.Errorf("master: %+v", view)
	}
	st := view.Standings[1]
	if st.Role != cluster.RoleStandby || st.Upstream != "db1" || !st.Streaming || st.SyncState != "sync" {
		t.Errorf("standby: %+v", st)
	}
	if st.LagBytes == nil || *st.LagBytes != 0x80 || st.LagTime == nil || st.LagTime.Hours() != 1 {
		t.Errorf("lag of a standby behind: %v bytes, %v", st.LagBytes, st.LagTime)
	}
	if same := view.Standings[2]; *same.LagBytes != 0 || same.LagTime == nil || *same.LagTime != 0 {
		t.Errorf("an idle standby that has everything has no lag, got %v bytes, %v", same.LagBytes, same.LagTime)
	}
}

func TestLagIsUnknownWithoutOneMaster(t *testing.T) {
	snap := region(3)
	promote(&snap.Servers[1], "0/5000200")
	if st := snap.View().Standings[2]; st.LagBytes != nil || st.LagTime != nil {
		t.Errorf("lag against two masters: %v, %v", st.LagBytes, st.LagTime)
	}
}

func TestUpstream(t *testing.T) {
	cascade := region(3)
	third := cascade.Servers[2].SQL.Receiver
	third.SenderHost = "198.51.100.12" // by address
	cascade.Servers[1].SQL.Standbys = []cluster.Walsender{{ApplicationName: "db3", ClientAddress: "198.51.100.13", SyncState: "async"}}
	if st := cascade.View().Standings[2]; st.Upstream != "db2" || st.SyncState != "async" {
		t.Errorf("cascade: %+v, expected upstream db2, async there", st)
	}
	alias := region(2) // the standby knows its master by a name that the inventory does not
	alias.Servers[1].SQL.Receiver.SenderHost = "pg-vip"
	if st := alias.View().Standings[1]; st.Upstream != "db1" {
		t.Errorf("alias: upstream is %q, expected db1, which lists it", st.Upstream)
	}
	impostor := region(2) // another host under the standby's name
	impostor.Servers[0].SQL.Standbys[0].ClientAddress = "198.51.100.99"
	if st := impostor.View().Standings[1]; st.SyncState != "" {
		t.Errorf("impostor: the standby took %q from a walsender of another host", st.SyncState)
	}
}

func TestIsMember(t *testing.T) {
	for _, tt := range []struct {
		name, host string
		want       bool
	}{
		{"db1", "db1", true},
		{"DB1", "db1", true},
		{"db1_k3f9", "db1", true},
		{"db1_", "db1", false},
		{"db1_k3-f", "db1", false},
		{"db12", "db1", false},
		{"db12_k3f9", "db1", false},
		{"db", "db1", false},
		{"", "db1", false},
	} {
		if got := cluster.IsMember(tt.name, tt.host); got != tt.want {
			t.Errorf("IsMember(%q, %q) = %v", tt.name, tt.host, got)
		}
	}
}

func FuzzParseLSN(f *testing.F) {
	f.Add("0/3000060")
	f.Add("FFFFFFFF/FFFFFFFF")
	f.Add("1/")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := cluster.ParseLSN(s)
		if err != nil {
			return
		}
		if again, err := cluster.ParseLSN(l.String()); err != nil || again != l {
			t.Errorf("%q gave %s, which reads back as %s, %v", s, l, again, err)
		}
	})
}

func TestSize(t *testing.T) {
	for n, want := range map[cluster.Size]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 16 << 20: "16.0 MiB", 5 << 40: "5.0 TiB", 3 << 60: "3072.0 PiB"} {
		if got := n.String(); got != want {
			t.Errorf("%d is %q, expected %q", int64(n), got, want)
		}
	}
}
