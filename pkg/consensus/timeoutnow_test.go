package consensus

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestTimeoutNowToOneThatHangs: a target that takes the connection and says nothing holds the leader up for no longer than the limit.
func TestTimeoutNowToOneThatHangs(t *testing.T) {
	t.Parallel()
	hangs := must(net.Listen("tcp", "127.0.0.1:0"))
	defer hangs.Close()
	own := must(raft.NewTCPTransport("127.0.0.1:0", nil, 1, 5*time.Second, io.Discard))
	defer own.Close()
	began := time.Now()
	err := (&transport{own, 50 * time.Millisecond}).TimeoutNow("b", raft.ServerAddress(hangs.Addr().String()), &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{})
	if took := time.Since(began); err == nil || took > 2*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}
