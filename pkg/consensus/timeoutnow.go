package consensus

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// timeoutNowLimit is how long a target may take to answer that it shall lead. While raft waits for that it refuses everything, also the barriers of a
// lease: with the transport's own 2 s a target that hangs at that moment would cost a master its lease (raft.go, leaderLoop: "there is no way to
// abort that"). With this limit a transfer that fails is over after 1.5 s: this, and the election's timeout that raft leaves a target that has answered.
const timeoutNowLimit = heartbeat / 2

// transport is raft's own, but for that limit. What comes late is still done by its target: then that one leads a little later, or asks for votes in vain.
type transport struct {
	*raft.NetworkTransport
	limit time.Duration
}

// TimeoutNow tells a host to stand for election at once.
func (t *transport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	done, late := make(chan error, 1), raft.TimeoutNowResponse{}
	go func() { done <- t.NetworkTransport.TimeoutNow(id, target, args, &late) }()
	timer := time.NewTimer(t.limit)
	defer timer.Stop()
	select {
	case err := <-done:
		*resp = late
		return err
	case <-timer.C:
		return fmt.Errorf("%s has not answered within %s", id, t.limit)
	}
}
